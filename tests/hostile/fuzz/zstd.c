/* The headers of a frame of zstd, walked over without the library.
 *
 * Input: the bytes of the frame, and perhaps more behind it. */
#include "zstd.h"

#include "check.h"
#include "status.h"

enum { MOST_PREFIXES = 64 };

static int frame(const uint8_t *p, size_t n, size_t *used, uint64_t *content) {
    uint8_t *copy = copy_of(p, n);
    *used = 0;
    *content = 0;
    int status = sp_zstd_frame(copy, n, used, content);
    CHECK(status == SP_OK || status == SP_TRUNCATED || status == SP_STREAM);
    free(copy);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t used, used_again;
    uint64_t content, content_again;
    int status = frame(data, size, &used, &content);
    if (status != SP_OK)
        return 0;
    /* Magic, descriptor, a byte of the size or the window, the header of a block. */
    CHECK(used <= size && used >= 9);
    CHECK(data[0] == 0x28 && data[1] == 0xb5 && data[2] == 0x2f && data[3] == 0xfd);
    CHECK((data[4] & 0x20) == 0 || content <= SP_ZSTD_WINDOW);
    /* What lies behind it makes no difference, and every byte of it is needed. */
    CHECK(frame(data, used, &used_again, &content_again) == SP_OK && used_again == used && content_again == content);
    for (size_t n = used > MOST_PREFIXES ? used - MOST_PREFIXES : 0; n < used; n++)
        CHECK(frame(data, n, &used_again, &content_again) == SP_TRUNCATED);
    return 0;
}
