// A store that answers late: reads of files below the folder $SLOW_FOLDER wait for $SLOW_MICROS microseconds before they begin.
// Opening does not wait. To be loaded by LD_PRELOAD.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define FILES 65536

// Which descriptors are of slow files; each opening says it anew of the one that it returns.
static unsigned char is_slow[FILES];

static int opened(int file, const char *path) {
    const char *folder = getenv("SLOW_FOLDER");
    if (file >= 0 && file < FILES)
        is_slow[file] = folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
    return file;
}

static void wait_for(int file) {
    if (file < 0 || file >= FILES || !is_slow[file])
        return;
    const char *text = getenv("SLOW_MICROS");
    long micros = text == NULL ? 0 : atol(text);
    struct timespec rest = {micros / 1000000, micros % 1000000 * 1000};
    while (nanosleep(&rest, &rest) != 0)
        ;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                       \
    int name(const char *path, int flags, ...) {         \
        va_list rest;                                    \
        va_start(rest, flags);                           \
        mode_t mode = mode_of(flags, rest);              \
        va_end(rest);                                    \
        return opened(REAL(name)(path, flags, mode), path); \
    }

OPEN(open)
OPEN(open64)

ssize_t read(int file, void *bytes, size_t count) {
    wait_for(file);
    return REAL(read)(file, bytes, count);
}

ssize_t pread(int file, void *bytes, size_t count, off_t at) {
    wait_for(file);
    return REAL(pread)(file, bytes, count, at);
}

ssize_t pread64(int file, void *bytes, size_t count, off64_t at) {
    wait_for(file);
    return REAL(pread64)(file, bytes, count, at);
}
