/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/shared-memory.c - see shared-memory.h
 *
 * The handler runs on whatever thread has touched the memory, perhaps one that copies guest data,
 * and calls nothing but system calls.  It gives zeroes to the whole stretch at once: pages may be
 * huge, and one signal is enough. */
#include "app/cli/shared-memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STRETCHES = 1024 };

typedef struct {
    uintptr_t start, end; /* atomic; start 0: free */
    int bell; /* atomic */
} Stretch;

static Stretch stretches[STRETCHES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of who adds and takes away */

static bool watch(void *start, size_t bytes, int bell)
{
    bool added = false;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < STRETCHES && !added; i++) {
        Stretch *s = &stretches[i];
        if (__atomic_load_n(&s->start, __ATOMIC_RELAXED) != 0) continue;
        __atomic_store_n(&s->bell, bell, __ATOMIC_RELAXED);
        __atomic_store_n(&s->end, (uintptr_t)start + bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&s->start, (uintptr_t)start, __ATOMIC_RELEASE);
        added = true;
    }
    pthread_mutex_unlock(&lock);
    return added;
}

static void forget(void *start)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < STRETCHES; i++)
        if (__atomic_load_n(&stretches[i].start, __ATOMIC_RELAXED) == (uintptr_t)start)
            __atomic_store_n(&stretches[i].start, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

static bool give_zeroes(uintptr_t address)
{
    uint64_t one = 1;

    for (unsigned i = 0; i < STRETCHES; i++) {
        uintptr_t start = __atomic_load_n(&stretches[i].start, __ATOMIC_ACQUIRE);
        uintptr_t end = __atomic_load_n(&stretches[i].end, __ATOMIC_RELAXED);
        if (start == 0 || address < start || address >= end) continue;
        if (mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
            return false;
        return write(__atomic_load_n(&stretches[i].bell, __ATOMIC_RELAXED), &one, sizeof one) > 0 ||
               errno == EAGAIN;
    }
    return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    struct sigaction fatal = { .sa_handler = SIG_DFL };
    int before = errno;

    /* Anything else happens again when the handler returns, and ends the program. */
    if (info->si_code != BUS_ADRERR || !give_zeroes((uintptr_t)info->si_addr))
        sigaction(number, &fatal, NULL);
    errno = before;
}

const VitMemoryGuard *cli_guard_shared_memory(void)
{
    static const VitMemoryGuard guard = { watch, forget };
    struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

    return sigaction(SIGBUS, &action, NULL) == 0 ? &guard : NULL;
}
