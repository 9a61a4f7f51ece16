#include "zlibng.h"

#include <stdlib.h>
#include <string.h>

#include "status.h"

enum { Z_OK = 0, Z_STREAM_END = 1, Z_MEM_ERROR = -4, Z_BUF_ERROR = -5 };
enum { Z_FINISH = 4, Z_DEFLATED = 8, MEM_LEVEL = 8, WINDOW_BITS = 15 };

typedef struct {
    sp_zng_stream z;
    const sp_zng *zng;
} stream;

static void *stream_new(const void *library) {
    stream *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->zng = library;
    return s;
}

static void *deflate_open(const void *library, int level) {
    stream *s = stream_new(library);
    if (s == NULL)
        return NULL;
    if (s->zng->deflateInit2_(&s->z, level, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, 0, s->zng->zlibng_version(),
                              (int32_t)sizeof s->z) != Z_OK) {
        free(s);
        return NULL;
    }
    return s;
}

static void deflate_close(void *p) {
    stream *s = p;
    s->zng->deflateEnd(&s->z);
    free(s);
}

static void *inflate_open(const void *library) {
    stream *s = stream_new(library);
    if (s == NULL)
        return NULL;
    if (s->zng->inflateInit2_(&s->z, WINDOW_BITS, s->zng->zlibng_version(), (int32_t)sizeof s->z) != Z_OK) {
        free(s);
        return NULL;
    }
    return s;
}

static void inflate_close(void *p) {
    stream *s = p;
    s->zng->inflateEnd(&s->z);
    free(s);
}

static uint32_t at_most(size_t n) {
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* zlib-ng counts what is available in 32 bits: larger buffers are handed over in parts. */
static int deflate_all(void *p, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written) {
    stream *s = p;
    size_t in_done = 0, out_done = 0;
    if (s->zng->deflateReset(&s->z) != Z_OK)
        return SP_MEMORY;
    for (;;) {
        uint32_t give = at_most(n - in_done), take = at_most(room - out_done);
        s->z.next_in = in + in_done;
        s->z.avail_in = give;
        s->z.next_out = out + out_done;
        s->z.avail_out = take;
        int answer = s->zng->deflate(&s->z, give == n - in_done ? Z_FINISH : 0);
        in_done += give - s->z.avail_in;
        out_done += take - s->z.avail_out;
        if (answer == Z_STREAM_END) {
            *written = out_done;
            return SP_OK;
        }
        if (answer != Z_OK && answer != Z_BUF_ERROR)
            return SP_MEMORY;
        if (out_done == room)
            return SP_FULL;
    }
}

static int inflate_all(void *p, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room,
                       size_t *written) {
    stream *s = p;
    size_t in_done = 0, out_done = 0;
    uint8_t spare; /* the library refuses a NULL output, and a stream of nothing needs none */
    if (s->zng->inflateReset(&s->z) != Z_OK)
        return SP_MEMORY;
    for (;;) {
        uint32_t give = at_most(n - in_done), take = at_most(room - out_done);
        s->z.next_in = in + in_done;
        s->z.avail_in = give;
        s->z.next_out = room > 0 ? out + out_done : &spare;
        s->z.avail_out = take;
        int answer = s->zng->inflate(&s->z, 0);
        in_done += give - s->z.avail_in;
        out_done += take - s->z.avail_out;
        if (answer == Z_STREAM_END) {
            *used = in_done;
            *written = out_done;
            return SP_OK;
        }
        if (answer == Z_MEM_ERROR)
            return SP_MEMORY;
        if (answer != Z_OK && answer != Z_BUF_ERROR)
            return SP_STREAM;
        /* No progress is possible: either side has run out. With both at their ends, the stream still lacks
         * its checksum, so the input is what is missing. */
        if (in_done == n && (s->z.avail_out > 0 || out_done == room))
            return SP_TRUNCATED;
        if (out_done == room && s->z.avail_in == give)
            return SP_FULL;
    }
}

int sp_zng_engine(const sp_zng *zng, sp_engine *engine) {
    const char *version = zng->zlibng_version();
    if (version == NULL || strncmp(version, "2.", 2) != 0)
        return SP_CODEC;
    if (zng->crc32_z(0, (const uint8_t *)"123456789", 9) != 0xCBF43926u)
        return SP_CODEC;
    engine->crc32 = zng->crc32_z;
    engine->deflate_open = deflate_open;
    engine->deflate_close = deflate_close;
    engine->inflate_open = inflate_open;
    engine->inflate_close = inflate_close;
    engine->deflate = deflate_all;
    engine->inflate = inflate_all;
    engine->library = zng;
    return sp_engine_probe(engine, 6, engine);
}
