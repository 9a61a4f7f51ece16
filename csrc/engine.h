/* What is asked of a library: one table of functions for each, filled when it is first needed.
 *
 * The functions either call the library (zlibng.h, libdeflate.h, isal.h, zstd.h, lz4.h), or its Python API. */
#ifndef SMARTPIPE_ENGINE_H
#define SMARTPIPE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 of n bytes, going on from crc (0 at first). */
typedef uint32_t (*sp_crc32)(uint32_t crc, const uint8_t *p, size_t n);

typedef struct sp_engine {
    sp_crc32 crc32; /* of zlib-ng only */

    /* A stream that compresses at a level of the library's own, or one that inflates; NULL: out of memory.
     * `library` is the field below. A stream is used by one thread at a time, as often as wanted. */
    void *(*deflate_open)(const void *library, int level);
    void (*deflate_close)(void *stream);
    void *(*inflate_open)(const void *library);
    void (*inflate_close)(void *stream);

    /* n bytes, at least one, as one stream of the codec into at most `room` bytes: SP_OK and *written, or SP_FULL,
     * SP_MEMORY. */
    int (*deflate)(void *stream, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written);

    /* One stream at the start of n bytes: SP_OK with *used and *written, or SP_FULL (it holds more than
     * `room`), SP_TRUNCATED (n bytes are not all of it), SP_STREAM, SP_MEMORY. */
    int (*inflate)(void *stream, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room, size_t *written);

    /* With a dictionary of n bytes; NULL in engines that have none. What `dictionary_open` gives is for inflating, and may
     * be used by any number of threads; NULL: out of memory, or the bytes are no dictionary. */
    void *(*deflate_open_with)(const void *library, int level, const uint8_t *p, size_t n);
    void *(*dictionary_open)(const void *library, const uint8_t *p, size_t n);
    void (*dictionary_close)(const void *library, void *dictionary);
    int (*inflate_with)(void *stream, const void *dictionary, const uint8_t *in, size_t n, size_t *used, uint8_t *out,
                        size_t room, size_t *written);

    /* One member of gzip (RFC 1952) at the start of n bytes, by a stream that inflates: SP_OK with *used and *written, or
     * SP_STREAM for whatever is wrong with it or with the room. NULL in engines that do not read gzip. */
    int (*gunzip)(void *stream, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room, size_t *written);

    const void *library;
} sp_engine;

/* SP_OK where the engine compresses a little text at a level and `reader`, the same engine or another of the codec, makes
 * that text of it again; else SP_CODEC. */
int sp_engine_probe(const sp_engine *engine, int level, const sp_engine *reader);

#endif
