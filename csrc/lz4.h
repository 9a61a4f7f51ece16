/* LZ4 called through the functions that an installed library exports: raw blocks. */
#ifndef SMARTPIPE_LZ4_H
#define SMARTPIPE_LZ4_H

#include "engine.h"

/* A block of more bytes is never compressed; the library refuses it. */
#define SP_LZ4_MOST 0x7E000000u

/* The addresses of the library's functions, named as the library names them. */
typedef struct sp_lz4 {
    int (*versionNumber)(void);
    int (*sizeofState)(void);
    void *(*initStream)(void *state, size_t size);
    void (*resetStream_fast)(void *state);
    int (*compress_fast_continue)(void *state, const char *in, char *out, int n, int room, int acceleration);
    int (*sizeofStateHC)(void);
    int (*compress_HC_extStateHC)(void *state, const char *in, char *out, int n, int room, int level);
    int (*decompress_safe)(const char *in, char *out, int n, int room);
} sp_lz4;

/* Fills the table with functions that call the library, which must live as long as the table. A level above 0 is one
 * of LZ4_HC, a level below is the acceleration of the fast compressor, negated. A stream is all of the n bytes that it
 * is looked for in: `inflate` never answers SP_TRUNCATED or SP_FULL, as nothing tells these from other damage. SP_OK, or
 * SP_CODEC where the library does not do what it should. */
int sp_lz4_engine(const sp_lz4 *library, sp_engine *engine);

#endif
