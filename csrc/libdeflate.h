/* libdeflate called through the functions that an installed library exports. It makes and reads zlib streams at once,
 * and reads gzip; it is the faster the better the room is known. */
#ifndef SMARTPIPE_LIBDEFLATE_H
#define SMARTPIPE_LIBDEFLATE_H

#include "engine.h"

/* The addresses of the library's functions, named as the library names them. */
typedef struct sp_libdeflate {
    void *(*alloc_compressor)(int level);
    size_t (*zlib_compress)(void *compressor, const void *in, size_t n, void *out, size_t room);
    void (*free_compressor)(void *compressor);
    void *(*alloc_decompressor)(void);
    int (*zlib_decompress_ex)(void *decompressor, const void *in, size_t n, void *out, size_t room, size_t *used,
                              size_t *written);
    int (*gzip_decompress_ex)(void *decompressor, const void *in, size_t n, void *out, size_t room, size_t *used,
                              size_t *written);
    void (*free_decompressor)(void *decompressor);
    /* What it refuses is given to this engine, which tells why: zlib-ng. */
    const sp_engine *judge;
} sp_libdeflate;

/* Fills the table with functions that call the library; it and its judge must live as long as the table. SP_OK, or
 * SP_CODEC where the library does not do what it should. */
int sp_libdeflate_engine(const sp_libdeflate *library, sp_engine *engine);

#endif
