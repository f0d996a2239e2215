/* Preloaded into a process, fails its n-th change below a folder, as a full or broken disk does.
 *
 * disk_fail(prefix, n, error, lasting): the n-th call from now on (1, 2, ...; 0: none) that creates,
 * writes, flushes, renames or links something below `prefix` fails with errno `error`. A lasting
 * fault meets all calls after it, too, and lets half of the n-th write through: that is how a disk
 * fills up. disk_calls() tells how many such calls there were.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char prefix[PATH_MAX];
static long number, calls;
static int fault, lasts, armed;

void disk_fail(const char *folder, long n, int error, int lasting) {
    snprintf(prefix, sizeof prefix, "%s", folder);
    number = n, fault = error, lasts = lasting, calls = 0, armed = 1;
}

long disk_calls(void) { return calls; }

/* 0: goes through, 1: fails, 2: the first that fails. */
static int turn(const char *path) {
    if (!armed || !path || strncmp(path, prefix, strlen(prefix))) return 0;
    long mine = __sync_add_and_fetch(&calls, 1);
    if (!number || mine < number) return 0;
    if (mine == number) return 2;
    return lasts;
}

static int turn_of(int fd) {
    char link[64], path[PATH_MAX];
    if (!armed) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return turn(path);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL return errno = fault, -1

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if ((flags & O_CREAT) && turn(path)) FAIL; \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if ((flags & O_CREAT) && turn(path)) FAIL; \
        return real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int bad = turn_of(fd);
    if (bad == 2 && lasts && size > 1) return real(fd, data, size / 2);
    if (bad) FAIL;
    return real(fd, data, size);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset) { \
        REAL(name); \
        if (turn_of(fd)) FAIL; \
        return real(fd, data, size, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    if (turn_of(fd)) FAIL;
    return real(fd, parts, count);
}

#define ON_DESCRIPTOR(name) \
    int name(int fd) { REAL(name); if (turn_of(fd)) FAIL; return real(fd); }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

#define ON_TWO_PATHS(name) \
    int name(const char *from, const char *to) { REAL(name); if (turn(to)) FAIL; return real(from, to); }
ON_TWO_PATHS(rename)
ON_TWO_PATHS(link)

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(linkat);
    if (turn(to)) FAIL;
    return real(from_at, from, to_at, to, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (turn(path)) FAIL;
    return real(path, mode);
}

#define TRUNCATE(name, size_type) \
    int name(int fd, size_type size) { REAL(name); if (turn_of(fd)) FAIL; return real(fd, size); }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
