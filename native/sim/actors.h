/* What the processes of a run share: the scene, and who plays in it. */
#ifndef HRT_SIM_ACTORS_H
#define HRT_SIM_ACTORS_H

#include "sim.h"

#include <hybridrt/runtime.h>

enum scene_size { SCENE_CLIENTS_MAX = 12, SCENE_ENDED_MAX = 64, SCENE_KINDS = 2, SCENE_QUEUES = 4 };

typedef struct scene_client {
    sim_process *process; /* NULL: none */
    bool producer;
    bool gone; /* died, and the supervisor does not know yet */
    uint64_t dead_at;
    uint64_t incarnation;
    uint64_t life;   /* of the runtime that it belongs to */
    uint32_t open;   /* tickets without an answer */
    uint64_t cuts;   /* see oracle_cuts */
    uint64_t starts; /* of supervisors, when it was made */
    bool bad;        /* keeps no promise, or serves too little: it gives way when it gets calm */
    bool answered;   /* one of its submissions since it got calm was */
} scene_client;

/* What the supervisor hands to its standby. */
typedef struct scene_grant {
    hrt_grant grant;
    int fds[HRT_GRANT_FD_COUNT];
} scene_grant;

typedef struct sim_scene {
    sim_plan plan;
    sim_outcome *outcome;
    sim_process *host;
    sim_process *supervisor;               /* NULL: down */
    hrt_runtime *runtime;                  /* open, of the supervisor; NULL: not now */
    uint64_t life;                         /* counts the runtimes: memory is used again */
    sim_process *standby;                  /* NULL: none */
    bool following;                        /* it reads the log */
    bool taking_over;                      /* nobody else is there */
    int page_fd;                           /* for it */
    scene_grant grants[SCENE_CLIENTS_MAX]; /* on their way to it */
    uint32_t grant_count;
    uint64_t ended[SCENE_ENDED_MAX]; /* lanes: on their way to it, too */
    uint32_t ended_count;
    uint64_t start_at;
    bool power_was_cut;
    bool damaged; /* the last opening said so */
    bool quiet;   /* calm, and nothing is left to do */
    bool closing;
    bool closed;
    bool cleaned; /* no client from before the calm is left */
    uint64_t hash;
    uint16_t kinds[SCENE_KINDS];
    uint16_t queues[SCENE_QUEUES];
    uint64_t lease_ns;
    scene_client clients[SCENE_CLIENTS_MAX];
} sim_scene;

extern sim_scene scene;

/* scenario.c: what is done when a supervisor is gone */
void supervisor_died(sim_process *process);

/* supervisor.c */
void *supervise(void *unused);
hrt_runtime_options supervisor_options(void);
/* The life of a supervisor that has opened this one, to its clean end. */
void serve(hrt_runtime *runtime);
/* standby.c */
void start_standby(void);
void grant_lane(uint64_t incarnation);
void forget_lane(uint64_t incarnation);
/* offshoot.c: the standby that made them is gone */
void end_offshoots(void);
/* client.c: argument is the scene_client */
void *produce(void *argument);
void *work(void *argument);

#endif
