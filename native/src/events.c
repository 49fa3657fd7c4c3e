/* News for the supervisor: a bounded queue and an eventfd. Has a lock of its own, for any thread.
 */
#include "dispatch.h"

#include "clock.h"
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NEWS_MAX = 4096 };

struct hrt_news {
    pthread_mutex_t lock;
    int fd;
    uint32_t head, count;
    hrt_event events[NEWS_MAX];
};

int hrt_news_new(hrt_news **news_out)
{
    hrt_news *news = calloc(1, sizeof(*news));
    if (news == NULL) {
        return HRT_ENOMEM;
    }
    news->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (news->fd < 0) {
        free(news);
        return hrt_fail(HRT_ESYSTEM, "cannot make an eventfd: %m");
    }
    (void)pthread_mutex_init(&news->lock, NULL);
    *news_out = news;
    return HRT_OK;
}

void hrt_news_free(hrt_news *news)
{
    if (news != NULL) {
        (void)close(news->fd);
        (void)pthread_mutex_destroy(&news->lock);
        free(news);
    }
}

static hrt_event *event_at(hrt_news *news, uint32_t index)
{
    return &news->events[(news->head + index) % NEWS_MAX];
}

/* Dead letters are kept in the log anyway; what the supervisor must act on is not dropped. */
static void drop_one(hrt_news *news)
{
    uint32_t victim = 0;
    while (victim < news->count && event_at(news, victim)->type != HRT_EVENT_DEAD) {
        victim++;
    }
    for (uint32_t i = victim == news->count ? 0 : victim; i + 1 < news->count; i++) {
        *event_at(news, i) = *event_at(news, i + 1);
    }
    news->count--;
}

void hrt_news_add(hrt_news *news, const hrt_event *event)
{
    (void)pthread_mutex_lock(&news->lock);
    if (news->count == NEWS_MAX) {
        drop_one(news);
    }
    *event_at(news, news->count++) = *event;
    (void)pthread_mutex_unlock(&news->lock);
    uint64_t one = 1;
    ssize_t written = write(news->fd, &one, sizeof(one));
    (void)written; /* a full counter is readable all the same */
}

void hrt_news_lane(hrt_runtime *runtime, uint32_t type, uint32_t lane, uint64_t value,
                   uint32_t count, const char *text)
{
    const hrt_seat *seat = &runtime->seats[lane];
    hrt_event event = {.type = type,
                       .incarnation = seat->incarnation,
                       .value = value,
                       .time_ns = hrt_wall_ns(),
                       .pid = seat->info.pid,
                       .count = count};
    if (type == HRT_EVENT_KILL) {
        event.job = value;
        event.value = 0;
    }
    (void)snprintf(event.text, sizeof(event.text), "%s", text);
    hrt_news_add(runtime->news, &event);
}

int hrt_news_fd(const hrt_news *news)
{
    return news->fd;
}

uint32_t hrt_news_take(hrt_news *news, hrt_event *events_out, uint32_t max)
{
    (void)pthread_mutex_lock(&news->lock);
    uint32_t count = news->count < max ? news->count : max;
    for (uint32_t i = 0; i < count; i++) {
        events_out[i] = *event_at(news, i);
    }
    news->head = (news->head + count) % NEWS_MAX;
    news->count -= count;
    if (news->count == 0) {
        uint64_t sum;
        ssize_t got = read(news->fd, &sum, sizeof(sum));
        (void)got; /* nothing to read is fine: the queue is empty, and so says the descriptor */
    }
    (void)pthread_mutex_unlock(&news->lock);
    return count;
}
