#include "libdeflate.h"

#include <stdlib.h>
#include <string.h>

#include "status.h"

typedef struct {
    void *compressor;
    const sp_libdeflate *library;
} deflater;

typedef struct {
    void *decompressor;
    void *judging; /* a stream of the judge, NULL until something is refused */
    const sp_libdeflate *library;
} inflater;

static void *deflate_open(const void *p, int level) {
    const sp_libdeflate *library = p;
    deflater *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->library = library;
    s->compressor = library->alloc_compressor(level);
    if (s->compressor == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static void deflate_close(void *p) {
    deflater *s = p;
    s->library->free_compressor(s->compressor);
    free(s);
}

static int deflate_all(void *p, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written) {
    deflater *s = p;
    *written = s->library->zlib_compress(s->compressor, in, n, out, room);
    return *written > 0 ? SP_OK : SP_FULL;
}

static void *inflate_open(const void *p) {
    const sp_libdeflate *library = p;
    inflater *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->library = library;
    s->decompressor = library->alloc_decompressor();
    if (s->decompressor == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static void inflate_close(void *p) {
    inflater *s = p;
    if (s->judging != NULL)
        s->library->judge->inflate_close(s->judging);
    s->library->free_decompressor(s->decompressor);
    free(s);
}

static int inflate_alone(void *p, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room,
                         size_t *written) {
    inflater *s = p;
    return s->library->zlib_decompress_ex(s->decompressor, in, n, out, room, used, written) == 0 ? SP_OK : SP_STREAM;
}

static int inflate_all(void *p, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room,
                       size_t *written) {
    inflater *s = p;
    if (inflate_alone(p, in, n, used, out, room, written) == SP_OK)
        return SP_OK;
    if (s->judging == NULL)
        s->judging = s->library->judge->inflate_open(s->library->judge->library);
    if (s->judging == NULL)
        return SP_MEMORY;
    return s->library->judge->inflate(s->judging, in, n, used, out, room, written);
}

static int gunzip(void *p, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room, size_t *written) {
    inflater *s = p;
    return s->library->gzip_decompress_ex(s->decompressor, in, n, out, room, used, written) == 0 ? SP_OK : SP_STREAM;
}

static int gunzip_probe(const sp_engine *engine) {
    static const uint8_t expected[] = "smartpipe smartpipe";
    static const uint8_t member[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0x2b,
                                     0xce, 0x4d, 0x2c, 0x2a, 0x29, 0xc8, 0x2c, 0x48, 0x55, 0x28, 0x86,
                                     0xb1, 0x00, 0xe2, 0xdc, 0xaf, 0xc7, 0x13, 0x00, 0x00, 0x00};
    uint8_t found[sizeof expected - 1];
    size_t used = 0, written = 0;
    void *stream = engine->inflate_open(engine->library);
    if (stream == NULL)
        return SP_CODEC;
    int status = engine->gunzip(stream, member, sizeof member, &used, found, sizeof found, &written);
    engine->inflate_close(stream);
    return status == SP_OK && used == sizeof member && written == sizeof found &&
                   memcmp(found, expected, sizeof found) == 0
               ? SP_OK
               : SP_CODEC;
}

int sp_libdeflate_engine(const sp_libdeflate *library, sp_engine *engine) {
    memset(engine, 0, sizeof *engine);
    engine->deflate_open = deflate_open;
    engine->deflate_close = deflate_close;
    engine->inflate_open = inflate_open;
    engine->inflate_close = inflate_close;
    engine->deflate = deflate_all;
    engine->inflate = inflate_all;
    engine->gunzip = gunzip;
    engine->library = library;

    /* The judge would inflate what this library can not. */
    sp_engine alone = *engine;
    alone.inflate = inflate_alone;
    if (gunzip_probe(engine) != SP_OK)
        engine->gunzip = NULL;
    return sp_engine_probe(engine, 1, &alone);
}
