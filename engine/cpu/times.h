/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What each implementation of a problem takes: measured alone, and kept. */
#ifndef GPUDL_ENGINE_CPU_TIMES_H
#define GPUDL_ENGINE_CPU_TIMES_H

#include "conv.h"
#include "inverted.h"
#include "product.h"
#include "squeeze.h"
#include "trial.h"

#define CPU_PROBLEM_TEXT 400
#define CPU_PROBLEM_NAME 40

/** A convolution in its forms, or squeeze-and-excite, in all of its parts or as one step of our own, or a reorder,
 * whose form is the layout that it brings a tensor into, or an inverted residual as one step of our own, or a fully
 * connected layer, of which oneDNN's form is CPU_FORM_BLOCKS. */
typedef enum {
    CPU_PROBLEM_CONV = 0,
    CPU_PROBLEM_SQUEEZE,
    CPU_PROBLEM_REORDER,
    CPU_PROBLEM_INVERTED,
    CPU_PROBLEM_PRODUCT
} CpuProblemKind;
typedef struct {
    char text[CPU_PROBLEM_TEXT]; /* one line with all that times depend on */
    CpuProblemKind kind;
    int32_t owner; /* one that has it: of a reorder a tensor; of others a node, with which blocks begin */
    int known;
    uint64_t ns[CPU_FORMS]; /* 0: there is none; CPU_FORM_FIRST is there where no other is */
    char names[CPU_FORMS][CPU_PROBLEM_NAME];
} CpuProblem;

/** Writes a problem's text. */
void cpu_conv_text(const CpuConv *conv, char text[CPU_PROBLEM_TEXT]);
void cpu_squeeze_text(const GpudlSqueeze *s, char text[CPU_PROBLEM_TEXT]);
void cpu_inverted_text(const GpudlInverted *d, char text[CPU_PROBLEM_TEXT]);
void cpu_product_text(const CpuProduct *product, char text[CPU_PROBLEM_TEXT]);
void cpu_reorder_text(dnnl_data_type_t type, const GpudlShape *shape, char text[CPU_PROBLEM_TEXT]);

/** Fills in what the cache knows, and says so in known. */
void cpu_times_recall(const CpuShared *shared, CpuProblem *problem);
/** Measures all forms there are, and keeps the times. */
void cpu_times_measure(CpuCompiler *c, CpuTrial *trial, CpuProblem *problem);

#endif
