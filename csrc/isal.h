/* ISA-L called through the functions that an installed library exports: it compresses at its level 1, and does not
 * inflate here.
 *
 * The beginning of the stream's layout is declared as ISA-L's public interface documents it. What follows is the
 * library's own, and there is more room for it than any version takes. */
#ifndef SMARTPIPE_ISAL_H
#define SMARTPIPE_ISAL_H

#include "engine.h"

enum { SP_ISAL_OWN = 256 << 10 };

typedef struct sp_isal_stream {
    const uint8_t *next_in;
    uint32_t avail_in;
    uint32_t total_in;
    uint8_t *next_out;
    uint32_t avail_out;
    uint32_t total_out;
    void *hufftables;
    uint32_t level;
    uint32_t level_buf_size;
    uint8_t *level_buf;
    uint16_t end_of_stream;
    uint16_t flush;
    uint16_t gzip_flag;
    uint16_t hist_bits;
    uint64_t own[SP_ISAL_OWN / 8];
} sp_isal_stream;

/* The addresses of the library's functions, named as the library names them. */
typedef struct sp_isal {
    void (*deflate_stateless_init)(sp_isal_stream *);
    int (*deflate_stateless)(sp_isal_stream *);
    const sp_engine *judge; /* inflates what is made to see whether the library works: zlib-ng */
} sp_isal;

/* Fills the table with functions that call the library, which must live as long as the table; nothing in it inflates.
 * SP_OK, or SP_CODEC where the library does not do what it should. */
int sp_isal_engine(const sp_isal *library, sp_engine *engine);

#endif
