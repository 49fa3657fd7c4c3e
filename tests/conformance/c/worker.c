/* See worker.h. A settle is sent by the thread that ran the handler, so nothing waits for a batch.
 */
#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONCURRENCY_MAX = 64,
    QUEUE_MAX = 256, /* fetched and not begun */
    NOTICES_MAX = 16,
    GRACE_S = 5, /* for handlers, once the worker was told to stop */
};

typedef struct seat {
    pthread_t thread;
    atomic_ullong job; /* that runs, 0: none */
    atomic_bool cancelled;
    struct team *worker;
} seat;

typedef struct team {
    hrt_client *client;
    const worker_kind *kinds;
    uint32_t kind_count;
    uint32_t concurrency;
    atomic_bool stopping;  /* fetch no more */
    atomic_bool listening; /* the listener goes on */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    hrt_job queue[QUEUE_MAX];
    uint32_t head, count, busy; /* under the lock, as the queue */
    bool closed;                /* no job will follow */
    seat slots[CONCURRENCY_MAX];
} team;

static void fail(const char *what, int status)
{
    char sentence[512];
    hrt_last_error(sentence, sizeof(sentence));
    (void)fprintf(stderr, "%s: %s: %s\n", what, hrt_status_name(status), sentence);
    exit(1);
}

static void settle(hrt_client *client, const hrt_job *job, const worker_run *run)
{
    const hrt_settlement settlement = {
        .job = job->id,
        .token = job->token,
        .data = run->data,
        .data_length = run->length,
        .follow = run->follow,
        .follow_count = run->outcome == HRT_OUTCOME_OK ? run->follow_count : 0,
        .delay_ns = run->delay_ns,
        .outcome = run->outcome,
    };
    int status = hrt_settle(client, &settlement, 1);
    if (status != HRT_OK && status != HRT_ECLOSED)
        fail("settle", status);
}

static const worker_kind *kind_of(const team *worker, const hrt_job *job)
{
    const char *name = hrt_kind_name(worker->client, job->kind);
    for (uint32_t i = 0; i < worker->kind_count; i++) {
        if (strcmp(worker->kinds[i].name, name) == 0)
            return &worker->kinds[i];
    }
    return NULL;
}

/* ---- handler threads ---- */

static bool take(team *worker, hrt_job *job_out)
{
    bool taken = false;

    pthread_mutex_lock(&worker->lock);
    while (worker->count == 0 && !worker->closed)
        pthread_cond_wait(&worker->changed, &worker->lock);
    if (worker->count > 0) {
        *job_out = worker->queue[worker->head++ % QUEUE_MAX];
        worker->count--;
        worker->busy++;
        taken = true;
    }
    pthread_mutex_unlock(&worker->lock);
    return taken;
}

static void done(team *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->busy--;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

static void *run_handlers(void *argument)
{
    seat *slot = argument;
    team *worker = slot->worker;
    uint8_t *data = malloc(WORKER_DATA_MAX);
    hrt_job job;

    while (data != NULL && take(worker, &job)) {
        worker_run run = {.client = worker->client,
                          .job = &job,
                          .cancelled = &slot->cancelled,
                          .stopping = &worker->stopping,
                          .outcome = HRT_OUTCOME_OK,
                          .delay_ns = UINT64_MAX,
                          .data = data};
        atomic_store(&slot->cancelled, false);
        atomic_store(&slot->job, job.id);
        hrt_job_started(&job);
        kind_of(worker, &job)->handler(&run);
        atomic_store(&slot->job, 0);
        settle(worker->client, &job, &run);
        done(worker);
    }
    free(data);
    return NULL;
}

bool worker_drains(const worker_run *run)
{
    return atomic_load(run->stopping) || hrt_draining(run->client) != 0;
}

/* ---- the listener: notices about jobs that run ---- */

static void cancel(team *worker, uint64_t job)
{
    for (uint32_t i = 0; i < worker->concurrency; i++) {
        if (job == 0 || atomic_load(&worker->slots[i].job) == job)
            atomic_store(&worker->slots[i].cancelled, true);
    }
}

static void *listen(void *argument)
{
    team *worker = argument;
    hrt_notice notices[NOTICES_MAX];

    while (atomic_load(&worker->listening)) {
        uint32_t count = 0;
        int status = hrt_poll(worker->client, notices, NOTICES_MAX, -1, &count);
        if (status != HRT_OK && status != HRT_EAGAIN)
            break;
        for (uint32_t i = 0; i < count; i++) {
            if (notices[i].type == HRT_DELIVERY_CANCEL)
                cancel(worker, notices[i].job);
            hrt_notice_free(&notices[i]);
        }
    }
    return NULL;
}

static void *await_signal(void *argument)
{
    team *worker = argument;
    sigset_t signals;
    int number = 0;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigwait(&signals, &number);
    atomic_store(&worker->stopping, true);
    hrt_interrupt(worker->client);
    return NULL;
}

/* ---- the fetcher ---- */

static uint32_t room(team *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (worker->count == QUEUE_MAX)
        pthread_cond_wait(&worker->changed, &worker->lock);
    uint32_t free_places = QUEUE_MAX - worker->count;
    pthread_mutex_unlock(&worker->lock);
    return free_places;
}

static void fetch(team *worker)
{
    hrt_job jobs[QUEUE_MAX];

    while (!atomic_load(&worker->stopping)) {
        uint32_t count = 0;
        int status = hrt_fetch(worker->client, jobs, room(worker), -1, &count);
        if (status == HRT_EAGAIN)
            continue;
        if (status != HRT_OK)
            return;
        pthread_mutex_lock(&worker->lock);
        for (uint32_t i = 0; i < count; i++)
            worker->queue[(worker->head + worker->count++) % QUEUE_MAX] = jobs[i];
        pthread_cond_broadcast(&worker->changed);
        pthread_mutex_unlock(&worker->lock);
    }
}

/* Hands back what has not begun, and gives what runs its grace. */
static void drain(team *worker)
{
    const worker_run back = {.outcome = HRT_OUTCOME_RETURNED};
    struct timespec deadline;

    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += GRACE_S;
    pthread_mutex_lock(&worker->lock);
    for (; worker->count > 0; worker->count--)
        settle(worker->client, &worker->queue[worker->head++ % QUEUE_MAX], &back);
    worker->closed = true;
    pthread_cond_broadcast(&worker->changed);
    while (worker->busy > 0) {
        if (pthread_cond_timedwait(&worker->changed, &worker->lock, &deadline) != 0)
            break;
    }
    pthread_mutex_unlock(&worker->lock);
    cancel(worker, 0);
}

static void attach(team *worker)
{
    const char *names[HRT_KINDS_MAX];
    const hrt_attach_options options = {
        .struct_size = sizeof(options), .abi_version = HRT_ABI_VERSION, .name = "conformance-c"};
    const hrt_register_options registration = {.kinds = names,
                                               .kind_count = worker->kind_count,
                                               .language = "c",
                                               .version = "1",
                                               .concurrency = worker->concurrency};
    int status = hrt_attach(&options, &worker->client);

    if (status != HRT_OK)
        fail("attach", status);
    for (uint32_t i = 0; i < worker->kind_count; i++)
        names[i] = worker->kinds[i].name;
    status = hrt_register(worker->client, &registration);
    if (status != HRT_OK)
        fail("register", status);
}

int worker_main(const worker_kind *kinds, uint32_t kind_count, uint32_t concurrency)
{
    static team self = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t listener;
    pthread_t signaller;
    sigset_t signals;

    /* Blocked in all threads: one of them waits for the signals. */
    (void)sigfillset(&signals);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    self.kinds = kinds;
    self.kind_count = kind_count;
    self.concurrency = concurrency < CONCURRENCY_MAX ? concurrency : CONCURRENCY_MAX;
    atomic_store(&self.listening, true);
    attach(&self);
    (void)pthread_create(&signaller, NULL, await_signal, &self);
    (void)pthread_create(&listener, NULL, listen, &self);
    for (uint32_t i = 0; i < self.concurrency; i++) {
        self.slots[i].worker = &self;
        (void)pthread_create(&self.slots[i].thread, NULL, run_handlers, &self.slots[i]);
    }
    fetch(&self);
    drain(&self);
    for (uint32_t i = 0; i < self.concurrency; i++)
        (void)pthread_join(self.slots[i].thread, NULL);
    atomic_store(&self.listening, false);
    hrt_interrupt(self.client);
    (void)pthread_join(listener, NULL);
    (void)pthread_kill(signaller, SIGTERM);
    (void)pthread_join(signaller, NULL);
    hrt_detach(self.client);
    return 0;
}
