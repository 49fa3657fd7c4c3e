/* The files of the one directory, for files.c. An inode is a number; -1: none. */
#ifndef HRT_SIM_DISK_H
#define HRT_SIM_DISK_H

#include "sim.h"

#define SIM_DIRECTORY "/log"

enum { SIM_NAMES_MAX = 96, SIM_NAME_SIZE = 32 };

bool sim_disk_has_directory(void);
void sim_disk_make_directory(void);
/* The name at this place of the directory, or NULL. */
const char *sim_disk_name(uint32_t place);
int sim_disk_lookup(const char *name);
int sim_disk_create(const char *name);
bool sim_disk_unlink(const char *name);
bool sim_disk_rename(const char *from, const char *to);
/* What is open or mapped is not given to another file. */
void sim_disk_hold(int inode);
void sim_disk_release(int inode);
uint32_t sim_disk_size(int inode);
uint8_t *sim_disk_map(int inode);
/* 0 or an errno. */
int sim_disk_resize(int inode, uint32_t size);
int sim_disk_write(int inode, const void *bytes, uint32_t length, uint32_t offset);
int sim_disk_sync(int inode);
int sim_disk_sync_directory(void);
bool sim_disk_lock(int inode, int fd); /* flock by this descriptor */
void sim_disk_unlock(int inode, int fd);

/* shared.c, for files.c */
int sim_memory_new(void);
void sim_memory_resize(int memory, size_t size);
size_t sim_memory_size(int memory);
void sim_memory_hold(int memory);
void sim_memory_release(int memory);
/* files.c, for shared.c: what a descriptor stands for. False: nothing to map. */
bool sim_files_object(int fd, bool *memory_out, int *object_out);

#endif
