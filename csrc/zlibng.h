/* zlib-ng called through the functions that an installed library exports.
 *
 * The stream's layout and the constants are declared here as zlib-ng's public interface (version 2) documents them;
 * sizeof(sp_zng_stream) is handed to the library, which refuses another layout. */
#ifndef SMARTPIPE_ZLIBNG_H
#define SMARTPIPE_ZLIBNG_H

#include "engine.h"

typedef struct sp_zng_stream {
    const uint8_t *next_in;
    uint32_t avail_in;
    size_t total_in;
    uint8_t *next_out;
    uint32_t avail_out;
    size_t total_out;
    const char *msg;
    void *state;
    void *(*zalloc)(void *opaque, unsigned int items, unsigned int size);
    void (*zfree)(void *opaque, void *address);
    void *opaque;
    int data_type;
    uint32_t adler;
    unsigned long reserved;
} sp_zng_stream;

/* The addresses of the library's functions, named as the library names them. */
typedef struct sp_zng {
    const char *(*zlibng_version)(void);
    uint32_t (*crc32_z)(uint32_t crc, const uint8_t *p, size_t n);
    int32_t (*deflateInit2_)(sp_zng_stream *, int32_t level, int32_t method, int32_t window_bits, int32_t mem_level,
                             int32_t strategy, const char *version, int32_t stream_size);
    int32_t (*deflate)(sp_zng_stream *, int32_t flush);
    int32_t (*deflateReset)(sp_zng_stream *);
    int32_t (*deflateEnd)(sp_zng_stream *);
    int32_t (*inflateInit2_)(sp_zng_stream *, int32_t window_bits, const char *version, int32_t stream_size);
    int32_t (*inflate)(sp_zng_stream *, int32_t flush);
    int32_t (*inflateReset)(sp_zng_stream *);
    int32_t (*inflateEnd)(sp_zng_stream *);
} sp_zng;

/* Fills the table with functions that call zng, which must live as long as the table. SP_OK, or SP_CODEC where the
 * library is not what is declared above: another major version, another layout, or a crc that is not CRC-32. */
int sp_zng_engine(const sp_zng *zng, sp_engine *engine);

#endif
