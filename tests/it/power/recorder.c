/* Records every change that a relay makes to its outbox's files, for the power-cut test to replay.
 *
 * Loaded with LD_PRELOAD. RECORDER_FOLDER is the outbox's folder, RECORDER_LOG the file that takes the record. Each entry
 * is a line "KIND NAME OFFSET LENGTH"; after "write" the bytes follow. An entry is recorded before the change is made, so
 * that after SIGKILL the record is never behind the files. The shared memory file (-shm) is left out: SQLite maps
 * it, and builds it anew at the start.
 *
 * Once the file RECORDER_FAIL exists, the disk is broken: writes and syncs fail. Before the change with the number
 * RECORDER_KILL the process is killed.
 *
 * A sync does not reach the machine's disk. It takes two milliseconds, in which an answer that was sent too early
 * reaches its client. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define OUTBOX "relay.db"
#define SYNC_MICROSECONDS 2000

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* An entry and its change are one step. */
static pthread_mutex_t step = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static const char *broken;
static int record_file = -1;
static long kill_at;
static long entries;
/* By descriptor: the file's name in the folder, "." for the folder itself, NULL for anything else. */
static const char *names[FILES];

static void set_up(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    folder = getenv("RECORDER_FOLDER");
    broken = getenv("RECORDER_FAIL");
    const char *log = getenv("RECORDER_LOG");
    const char *at = getenv("RECORDER_KILL");
    kill_at = at != NULL ? atol(at) : 0;
    if (folder != NULL && log != NULL)
        record_file = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void fail(const char *what) {
    fprintf(stderr, "recorder: %s\n", what);
    abort();
}

/* The name in the record of a file at this path, or NULL if it is not to be recorded. */
static const char *name_of(const char *path) {
    pthread_once(&once, set_up);
    if (record_file < 0 || path == NULL) return NULL;
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0) return NULL;
    if (path[length] == 0 || strcmp(path + length, "/") == 0) return ".";
    if (path[length] != '/') return NULL;
    const char *name = path + length + 1;
    if (strchr(name, '/') != NULL || strncmp(name, OUTBOX, strlen(OUTBOX)) != 0) return NULL;
    size_t end = strlen(name);
    return end >= 4 && strcmp(name + end - 4, "-shm") == 0 ? NULL : name;
}

static const char *name_of_descriptor(int descriptor) {
    pthread_once(&once, set_up);
    return descriptor >= 0 && descriptor < FILES ? names[descriptor] : NULL;
}

static void record(const char *kind, const char *name, long long offset, const void *bytes, long long length) {
    if (++entries == kill_at) kill(getpid(), SIGKILL);
    char line[512];
    int size = snprintf(line, sizeof line, "%s %s %lld %lld\n", kind, name, offset, length);
    struct iovec parts[2] = {{line, (size_t)size}, {(void *)bytes, bytes != NULL ? (size_t)length : 0}};
    if (writev(record_file, parts, 2) != (ssize_t)(parts[0].iov_len + parts[1].iov_len)) fail("the record cannot be written");
}

static int open_recorded(const char *path, int flags, mode_t mode) {
    const char *name = name_of(path);
    if (name == NULL) return real_open(path, flags, mode);
    pthread_mutex_lock(&step);
    int is_new = (flags & O_CREAT) != 0 && access(path, F_OK) != 0;
    if (is_new) record("create", name, 0, NULL, 0);
    if ((flags & O_TRUNC) != 0 && !is_new) record("truncate", name, 0, NULL, 0);
    int descriptor = real_open(path, flags, mode);
    if (descriptor >= FILES) fail("too many open files");
    if (descriptor >= 0) names[descriptor] = strdup(name);
    if (descriptor < 0 && is_new) fail("a file could not be created");
    pthread_mutex_unlock(&step);
    return descriptor;
}

static mode_t mode_of(int flags, va_list rest) {
    return (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_recorded(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_recorded(path, flags, mode);
}

int close(int descriptor) {
    if (name_of_descriptor(descriptor) != NULL) names[descriptor] = NULL;
    return real_close(descriptor);
}

static int is_broken(void) {
    if (broken == NULL || access(broken, F_OK) != 0) return 0;
    errno = EIO;
    return 1;
}

static ssize_t write_recorded(int descriptor, const char *name, const void *bytes, size_t length, off64_t offset) {
    if (is_broken()) return -1;
    record("write", name, offset, bytes, (long long)length);
    ssize_t written = real_pwrite(descriptor, bytes, length, offset);
    if (written != (ssize_t)length) fail("a write was not whole");
    return written;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    const char *name = name_of_descriptor(descriptor);
    if (name == NULL) return real_write(descriptor, bytes, length);
    pthread_mutex_lock(&step);
    off64_t offset = lseek64(descriptor, 0, SEEK_CUR);
    ssize_t written = write_recorded(descriptor, name, bytes, length, offset);
    if (written > 0) lseek64(descriptor, offset + written, SEEK_SET);
    pthread_mutex_unlock(&step);
    return written;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    const char *name = name_of_descriptor(descriptor);
    if (name == NULL) return real_pwrite(descriptor, bytes, length, offset);
    pthread_mutex_lock(&step);
    ssize_t written = write_recorded(descriptor, name, bytes, length, offset);
    pthread_mutex_unlock(&step);
    return written;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return pwrite64(descriptor, bytes, length, offset);
}

int ftruncate64(int descriptor, off64_t length) {
    const char *name = name_of_descriptor(descriptor);
    if (name == NULL) return real_ftruncate(descriptor, length);
    pthread_mutex_lock(&step);
    record("truncate", name, length, NULL, 0);
    int result = real_ftruncate(descriptor, length);
    pthread_mutex_unlock(&step);
    return result;
}

int ftruncate(int descriptor, off_t length) {
    return ftruncate64(descriptor, length);
}

/* Other threads go on meanwhile: what they write after "sync" is not covered by it. */
static int sync_recorded(const char *name) {
    if (is_broken()) return -1;
    pthread_mutex_lock(&step);
    record("sync", name, 0, NULL, 0);
    pthread_mutex_unlock(&step);
    usleep(SYNC_MICROSECONDS);
    pthread_mutex_lock(&step);
    record("synced", name, 0, NULL, 0);
    pthread_mutex_unlock(&step);
    return 0;
}

int fsync(int descriptor) {
    const char *name = name_of_descriptor(descriptor);
    return name == NULL ? real_fsync(descriptor) : sync_recorded(name);
}

int fdatasync(int descriptor) {
    const char *name = name_of_descriptor(descriptor);
    return name == NULL ? real_fdatasync(descriptor) : sync_recorded(name);
}

int unlink(const char *path) {
    const char *name = name_of(path);
    if (name == NULL) return real_unlink(path);
    pthread_mutex_lock(&step);
    if (access(path, F_OK) == 0) record("unlink", name, 0, NULL, 0);
    int result = real_unlink(path);
    int error = errno;
    pthread_mutex_unlock(&step);
    errno = error;
    return result;
}

/* Only a recovery renames files of an outbox. The disk of the power-cut test knows no renames, so without RECORDER_KILL
 * they fail. */
int rename(const char *from, const char *to) {
    const char *name = name_of(from);
    if (name == NULL && name_of(to) == NULL) return real_rename(from, to);
    if (kill_at == 0) fail("a file of the outbox was renamed");
    pthread_mutex_lock(&step);
    record("rename", name != NULL ? name : ".", 0, NULL, 0);
    int result = real_rename(from, to);
    int error = errno;
    pthread_mutex_unlock(&step);
    errno = error;
    return result;
}
