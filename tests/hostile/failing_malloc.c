/* Lets one allocation of smartpipe's extensions, or of the compressor that they call, fail: to be preloaded.
 *
 * Only what their code asks of the C library counts; Python's own objects are not meant here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MOST = 64 };

static struct {
    uintptr_t begin, end;
} ranges[MOST];
static int range_count;
static long counted, failing = -1;
static int lasting;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

static int note(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    (void)data;
    if (strstr(info->dlpi_name, "/smartpipe/") == NULL && strstr(info->dlpi_name, "/zlib_ng") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) && range_count < MOST) {
            ranges[range_count].begin = info->dlpi_addr + part->p_vaddr;
            ranges[range_count].end = ranges[range_count].begin + part->p_memsz;
            range_count++;
        }
    }
    return 0;
}

/* Count anew from here; allocation `number` fails, and with `all` each behind it too. -1: none fails. Returns of how
 * many modules allocations are counted. */
int fail_at(long number, int all) {
    range_count = 0;
    dl_iterate_phdr(note, NULL);
    counted = 0;
    lasting = all;
    failing = number;
    return range_count;
}

/* How many allocations there were since. */
long allocations(void) {
    failing = -1;
    return counted;
}

static int fails(const void *from) {
    uintptr_t at = (uintptr_t)from;
    for (int i = 0; i < range_count; i++)
        if (at >= ranges[i].begin && at < ranges[i].end) {
            long number = counted++;
            return failing >= 0 && (number == failing || (lasting && number > failing));
        }
    return 0;
}

void *malloc(size_t n) {
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n) {
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n) {
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n) {
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_memalign(alignment, n);
}

int posix_memalign(void **p, size_t alignment, size_t n) {
    if (fails(__builtin_return_address(0)))
        return ENOMEM;
    *p = __libc_memalign(alignment, n);
    return *p == NULL ? ENOMEM : 0;
}
