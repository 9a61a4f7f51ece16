/* Streams through the engine table, inflated by the zlib-ng of the wheel that smartpipe uses (ZLIBNG, the path of its
 * extension module).
 *
 * That library is not built for the sanitizer, so its buffers end at a page that may not be touched.
 *
 * Input: a byte of options, u24 room for the output, the stream. Options: 1, its Adler-32 is made right first; the upper
 * bits are the level that its content is compressed at again. */
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "status.h"
#include "zlibng.h"

enum { CHECKSUM = 1, MOST_IN = 1 << 16, MOST_OUT = 1 << 20, MARK = 64 };

static sp_zng library;
static sp_engine engine;
static uint8_t *in_end, *out_end, *again_end;
static void *kept; /* a stream that is used for all inputs, as readers use theirs */

/* The end of so much memory, behind which nothing can be touched. */
static uint8_t *guarded(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size = (size + page - 1) / page * page;
    uint8_t *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && mprotect(p + size, page, PROT_NONE) == 0);
    return p + size;
}

static void *function(void *module, const char *name) {
    void *address = dlsym(module, name);
    if (address == NULL)
        fprintf(stderr, "%s: no %s\n", ZLIBNG, name);
    CHECK(address != NULL);
    return address;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    void *module = dlopen(ZLIBNG, RTLD_LAZY | RTLD_LOCAL);
    if (module == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(module != NULL);
    const char *names[] = {"zlibng_version",   "zng_crc32_z",    "zng_deflateInit2_", "zng_deflate",
                           "zng_deflateReset", "zng_deflateEnd", "zng_inflateInit2_", "zng_inflate",
                           "zng_inflateReset", "zng_inflateEnd"};
    void *addresses[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        addresses[i] = function(module, names[i]);
    _Static_assert(sizeof library == sizeof addresses, "the table and its names");
    memcpy(&library, addresses, sizeof library);
    CHECK(sp_zng_engine(&library, &engine) == SP_OK);
    in_end = guarded(MOST_IN);
    out_end = guarded(MOST_OUT + MARK);
    again_end = guarded(MOST_OUT + MARK);
    kept = engine.inflate_open(engine.library);
    CHECK(kept != NULL);
    return 0;
}

static uint32_t adler32(const uint8_t *p, size_t n) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static uint32_t load32_big(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Writes the right checksum behind the deflated bytes of a stream, where these are good and fit. */
static void repair(uint8_t *p, size_t n, uint8_t *out, size_t room) {
    sp_zng_stream z;
    memset(&z, 0, sizeof z);
    if (n < 6)
        return;
    CHECK(library.inflateInit2_(&z, -15, library.zlibng_version(), (int32_t)sizeof z) == 0);
    z.next_in = p + 2;
    z.avail_in = (uint32_t)(n - 2);
    z.next_out = out;
    z.avail_out = (uint32_t)room;
    if (library.inflate(&z, 0) == 1 && z.avail_in >= 4) {
        uint32_t sum = adler32(out, (size_t)(z.next_out - out));
        uint8_t *at = p + (n - z.avail_in);
        for (int i = 0; i < 4; i++)
            at[i] = (uint8_t)(sum >> (24 - 8 * i));
    }
    CHECK(library.inflateEnd(&z) == 0);
}

/* Inflates into exactly `room` bytes before `end`. */
static int inflate(void *stream, const uint8_t *in, size_t n, size_t *used, uint8_t *end, size_t room,
                   size_t *written) {
    uint8_t *out = end - room;
    memset(out - MARK, 0x5a, MARK);
    *used = *written = 0;
    int status = engine.inflate(stream, in, n, used, out, room, written);
    for (int i = 1; i <= MARK; i++)
        CHECK(out[-i] == 0x5a);
    CHECK(status == SP_OK || status == SP_FULL || status == SP_TRUNCATED || status == SP_STREAM);
    return status;
}

static void check_good(const uint8_t *in, size_t n, size_t used, size_t room, size_t written, int level) {
    const uint8_t *content = out_end - room;
    size_t used_again, written_again;
    CHECK(used >= 8 && used <= n && written <= room && written <= 65536 + 1032 * used);
    CHECK((in[0] << 8 | in[1]) % 31 == 0 && (in[0] & 15) == 8 && (in[1] & 32) == 0);
    CHECK(load32_big(in + used - 4) == adler32(content, written));

    /* Exactly what is there is enough, and a byte less is not. */
    uint8_t *exact = in_end - used;
    memmove(exact, in, used);
    CHECK(inflate(kept, exact, used, &used_again, again_end, written, &written_again) == SP_OK);
    CHECK(used_again == used && written_again == written && memcmp(again_end - written, content, written) == 0);
    if (written > 0)
        CHECK(inflate(kept, exact, used, &used_again, again_end, written - 1, &written_again) == SP_FULL);
    memmove(exact + 1, exact, used - 1);
    CHECK(inflate(kept, exact + 1, used - 1, &used_again, again_end, written, &written_again) == SP_TRUNCATED);

    void *deflater = engine.deflate_open(engine.library, level);
    size_t most = written + written / 8 + 1024, stored = 0, stored_again = 0;
    uint8_t *deflated = malloc(most);
    CHECK(deflater != NULL && deflated != NULL);
    CHECK(engine.deflate(deflater, content, written, deflated, most, &stored) == SP_OK && stored <= most);
    CHECK(inflate(kept, deflated, stored, &used_again, again_end, written, &written_again) == SP_OK);
    CHECK(used_again == stored && written_again == written && memcmp(again_end - written, content, written) == 0);
    CHECK(engine.deflate(deflater, content, written, deflated, stored - 1, &stored_again) == SP_FULL);
    free(deflated);
    engine.deflate_close(deflater);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || size - 4 > MOST_IN)
        return 0;
    size_t n = size - 4, room = (data[1] | data[2] << 8 | data[3] << 16) % (MOST_OUT + 1);
    size_t used, written, used_fresh, written_fresh;
    uint8_t *in = in_end - n;
    memcpy(in, data + 4, n);
    if (data[0] & CHECKSUM)
        repair(in, n, out_end - MOST_OUT, MOST_OUT);

    int status = inflate(kept, in, n, &used, out_end, room, &written);
    void *fresh = engine.inflate_open(engine.library);
    CHECK(fresh != NULL);
    CHECK(inflate(fresh, in, n, &used_fresh, again_end, room, &written_fresh) == status);
    engine.inflate_close(fresh);
    if (status != SP_OK)
        return 0;
    CHECK(used == used_fresh && written == written_fresh);
    CHECK(memcmp(out_end - room, again_end - room, written) == 0);
    check_good(in, n, used, room, written, 1 + (data[0] >> 1) % 9);
    return 0;
}
