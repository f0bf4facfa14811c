/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"

static const Command commands[] = {
    {"convert", "make a net.bin of a model file, checked against the original", cmd_convert},
    {"info", "what is inside a model file", cmd_info},
    {"run", "classify pictures and videos", cmd_run},
    {"eval", "how well a network does on pictures whose classes are known", cmd_eval},
    {"profile", "what the steps of a network take", cmd_profile},
    {"bench", "how fast a network runs", cmd_bench},
    {"tune", "measure what a network runs fastest with, and keep it", cmd_tune},
    {"doctor", "what is installed, what works, what is missing and how to get it", cmd_doctor},
};

static void print_usage(FILE *to)
{
    fputs("Usage:\n  gpudl COMMAND [OPTION...] ...\n\nCommands:\n", to);
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(to, "  %-10s%s\n", commands[i].name, commands[i].summary);
    fputs("\n  gpudl COMMAND --help   options of a command\n"
          "  gpudl --version        version\n"
          "\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n",
          to);
}

static const Command *find_command(const gchar *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const Command *command;
    const gchar *name = argc > 1 ? argv[1] : NULL;

    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* figures look the same everywhere */
    signal(SIGPIPE, SIG_IGN);   /* "gpudl run ... | head" ends by a failed write, not in the middle of one */
    g_set_prgname("gpudl");

    if (name == NULL) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("gpudl %s\n", gpudl_version());
        return finish_stdout(NULL, EXIT_OK);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (strcmp(name, "help") == 0 && argc == 2)) {
        print_usage(stdout);
        return finish_stdout(NULL, EXIT_OK);
    }
    if (strcmp(name, "help") == 0) {
        char *help[] = {argv[2], (char *)"--help", NULL};

        command = find_command(argv[2]);
        if (command != NULL)
            return command->run(2, help);
        name = argv[2];
    }
    command = find_command(name);
    if (command == NULL)
        return say_usage(NULL, "unknown %s '%s'", name[0] == '-' ? "option" : "command", name);
    return command->run(argc - 1, argv + 1);
}
