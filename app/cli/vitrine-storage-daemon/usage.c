/* SPDX-License-Identifier: GPL-3.0-or-later */
/* app/cli/vitrine-storage-daemon/usage.c - see usage.h */
#include "app/cli/vitrine-storage-daemon/usage.h"

#include <stdio.h>

static const char text[] =
    "  -h, --help             show this text\n"
    "  -T, --trace ...        not supported\n"
    "  -V, --version          show the version\n"
    "\n"
    "  --blockdev [driver=]DRIVER,node-name=N[,read-only=on|off][,auto-read-only=on|off]\n"
    "             [,discard=ignore|unmap][,cache.direct=on|off][,cache.no-flush=on|off]\n"
    "             [,force-share=on|off][,detect-zeroes=on|off|unmap][,OPTION=VALUE...]\n"
    "  --blockdev JSON        open a block node\n"
    "\n"
    "  --chardev BACKEND,id=N[,path=FILE][,host=HOST][,port=PORT][,server=on|off][,wait=on|off]\n"
    "                         open a character device (stdio, socket, file, pty, null)\n"
    "\n"
    "  --daemonize            go to the background when all is set up\n"
    "\n"
    "  --export [type=]nbd,id=N,node-name=NODE[,name=NAME][,writable=on|off][,bitmaps.0=BITMAP]\n"
    "                         offer a node over NBD (needs --nbd-server)\n"
    "  --export [type=]fuse,id=N,node-name=NODE,mountpoint=FILE[,growable=on|off]\n"
    "           [,writable=on|off][,allow-other=on|off|auto]\n"
    "                         show a node as a file\n"
    "  --export [type=]vhost-user-blk,id=N,node-name=NODE,addr.type=unix,addr.path=SOCKET\n"
    "           [,writable=on|off][,logical-block-size=SIZE][,num-queues=COUNT]\n"
    "                         offer a node to virtual machines\n"
    "\n"
    "  --monitor [chardev=]N[,mode=control]\n"
    "                         take QMP commands from a character device\n"
    "\n"
    "  --nbd-server addr.type=inet,addr.host=HOST,addr.port=PORT[,tls-creds=ID]\n"
    "               [,tls-authz=ID][,max-connections=COUNT]\n"
    "  --nbd-server addr.type=unix,addr.path=PATH[,tls-creds=ID]...\n"
    "                         start the NBD server\n"
    "\n"
    "  --object help          list the types of objects\n"
    "  --object TYPE,id=N[,PROPERTY=VALUE...]\n"
    "                         create an object (secret, tls-creds-x509, throttle-group, ...)\n"
    "\n"
    "  --pidfile PATH         write the process ID to a file once all is set up\n";

void print_usage(const char *program)
{
    printf("Usage: %s [options]\nServes disks without a virtual machine\n\n%s", program, text);
}
