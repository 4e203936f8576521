/* An external LiteRT delegate that claims the nodes of one builtin operator and computes nothing: what it is for is to
 * be assigned to. Layouts are those of tensorflow/lite/core/c/common.h, as far as they are used. Not a device. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Node Node;
typedef struct Delegate Delegate;

typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *external;
    void *async_kernel;
    uint64_t inplace;
} Registration;

struct Context {
    size_t tensors_size;
    int (*get_execution_plan)(Context *, IntArray **);
    void *tensors;
    void *impl;
    int (*resize_tensor)(Context *, void *, IntArray *);
    void (*report_error)(Context *, const char *, ...);
    int (*add_tensors)(Context *, int, int *);
    int (*get_node)(Context *, int, Node **, Registration **);
    int (*replace)(Context *, Registration, const IntArray *, Delegate *);
};

struct Delegate {
    void *data;
    int (*prepare)(Context *, Delegate *);
    void *copy_from, *copy_to, *free_handle;
    int64_t flags;
    void *opaque;
};

static int claimed = -1; /* the builtin operator; -1 is none */

static int nothing(Context *context, Node *node) { return 0; }

static int prepare(Context *context, Delegate *delegate) {
    IntArray *plan, *mine;
    if (context->get_execution_plan(context, &plan)) return 1;
    mine = calloc(1, sizeof *mine + plan->size * sizeof(int));
    for (int i = 0; i < plan->size; i++) {
        Node *node;
        Registration *registration;
        if (context->get_node(context, plan->data[i], &node, &registration)) return 1;
        if (registration->builtin_code == claimed) mine->data[mine->size++] = plan->data[i];
    }
    Registration kernel = {0};
    kernel.prepare = kernel.invoke = nothing;
    kernel.builtin_code = 51; /* DELEGATE */
    kernel.custom_name = "edgemon test";
    kernel.version = 1;
    int status = mine->size ? context->replace(context, kernel, mine, delegate) : 0;
    free(mine);
    return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(keys[i], "claim")) claimed = atoi(values[i]);
        if (!strcmp(keys[i], "fail")) {
            report(values[i]);
            return NULL;
        }
    }
    Delegate *made = calloc(1, sizeof *made);
    made->prepare = prepare;
    made->flags = 1; /* may be applied before the tensors are known: else an operator that nobody else has is refused */
    return made;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
