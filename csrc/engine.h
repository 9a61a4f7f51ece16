/* The engine table: everything that is asked of a library for codecs and checksums.
 *
 * One table is filled at import, either with the functions of zlibng.h, which call zlib-ng, or with functions
 * that call its Python API. Both give the same bytes. */
#ifndef SMARTPIPE_ENGINE_H
#define SMARTPIPE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 of n bytes, going on from crc (0 at first). */
typedef uint32_t (*sp_crc32)(uint32_t crc, const uint8_t *p, size_t n);

typedef struct sp_engine {
    sp_crc32 crc32;

    /* A stream that compresses at a level from 1 to 9, or one that inflates; NULL: out of memory.
     * `library` is the field below. A stream is used by one thread at a time, as often as wanted. */
    void *(*deflate_open)(const void *library, int level);
    void (*deflate_close)(void *stream);
    void *(*inflate_open)(const void *library);
    void (*inflate_close)(void *stream);

    /* n bytes as one zlib stream into at most `room` bytes: SP_OK and *written, or SP_FULL, SP_MEMORY. */
    int (*deflate)(void *stream, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written);

    /* One zlib stream at the start of n bytes: SP_OK with *used and *written, or SP_FULL (it holds more than
     * `room`), SP_TRUNCATED (n bytes are not all of it), SP_STREAM, SP_MEMORY. */
    int (*inflate)(void *stream, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room, size_t *written);

    const void *library;
} sp_engine;

#endif
