/* A simulated libnvidia-ml.so.1: the functions that edgemon asks for, answering as the mode in the file $FAKE_NVML says.
 *
 * ok: one GPU, whose fan is not supported   two: a second one that is lost   jetson: a name and nothing else
 * mismatch, absent: nvmlInit fails          lost: every field says so        hang: the power usage never comes
 * timeout: the power usage takes too long for the driver; old: functions of the Clocks*Throttle*Reasons* names only
 * Signatures: docs.nvidia.com/deploy/nvml-api. fake_fan_calls counts how often the fan was asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef void *device;
enum { OK, UNINITIALIZED, INVALID, NOT_SUPPORTED, NO_DRIVER = 9, TIMEOUT, FUNCTION_NOT_FOUND = 13, LOST = 15, MISMATCH = 18 };
#ifndef VERSION
#define VERSION "595.80"
#endif

int fake_fan_calls = 0;
static int open_ = 0;
static char mode_[32];

static int mode(const char *name) {
    FILE *file = fopen(getenv("FAKE_NVML"), "r");
    mode_[0] = 0;
    if (file) {
        if (fscanf(file, "%31s", mode_) != 1) mode_[0] = 0;
        fclose(file);
    }
    return !strcmp(mode_, name);
}

static int say(u32 *to, u32 value) {
    if (!open_) return UNINITIALIZED;
    if (mode("lost")) return LOST;
    if (mode("jetson")) return NOT_SUPPORTED;
    *to = value;
    return OK;
}

#ifdef BROKEN
int nvmlInitWithFlags(u32 flags) { return MISMATCH; }
#else
int nvmlInitWithFlags(u32 flags) {
    if (mode("mismatch")) return MISMATCH;
    if (mode("absent")) return NO_DRIVER;
    open_ = 1;
    return OK;
}
#endif
int nvmlShutdown(void) { open_ = 0; return OK; }
const char *nvmlErrorString(int code) { return code == MISMATCH ? "Driver/library version mismatch" : "an error"; }
int nvmlSystemGetDriverVersion(char *to, u32 size) { snprintf(to, size, VERSION); return open_ ? OK : UNINITIALIZED; }
int nvmlDeviceGetCount_v2(u32 *to) { *to = mode("two") ? 2 : 1; return open_ ? OK : UNINITIALIZED; }
int nvmlDeviceGetHandleByIndex_v2(u32 index, device *to) {
    *to = (device)(long)(index + 1);
    return index ? LOST : OK;
}

typedef struct { char old[16]; u32 domain, bus, device, id, sub; char now[32]; } pci;
int nvmlDeviceGetPciInfo_v3(device d, pci *to) {
    memset(to, 0, sizeof *to);
    to->bus = 0x3b;
    to->id = 0x1eb810de;
    return OK;
}
int nvmlDeviceGetName(device d, char *to, u32 size) { snprintf(to, size, "Simulated T4"); return OK; }
int nvmlDeviceGetVbiosVersion(device d, char *to, u32 size) {
    snprintf(to, size, "90.04.84.00.06");
    return mode("jetson") ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetUtilizationRates(device d, u32 *to) { to[1] = 5; return say(to, 37); }
int nvmlDeviceGetEncoderUtilization(device d, u32 *to, u32 *period) { *period = 167000; return say(to, 59); }
int nvmlDeviceGetDecoderUtilization(device d, u32 *to, u32 *period) { return NOT_SUPPORTED; }
typedef struct { u64 total, free, used; } memory;
int nvmlDeviceGetMemoryInfo(device d, memory *to) {
    to->total = 16106127360ULL;
    to->used = 1489567744ULL; /* with what the driver reserves */
    return mode("jetson") ? NOT_SUPPORTED : OK;
}
#ifndef OLD
typedef struct { u32 version; u64 total, reserved, free, used; } memory2;
int nvmlDeviceGetMemoryInfo_v2(device d, memory2 *to) {
    if (to->version != 0x02000028) return 25;
    to->total = 16106127360ULL;
    to->used = 1082130432ULL;
    return mode("jetson") ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(device d, u64 *to) { u32 low; int code = say(&low, 0x24); *to = low; return code; }
int nvmlDeviceGetSupportedClocksEventReasons(device d, u64 *to) { u32 low; int code = say(&low, 0x1ff); *to = low; return code; }
#else
int nvmlDeviceGetCurrentClocksThrottleReasons(device d, u64 *to) { u32 low; int code = say(&low, 0x8); *to = low; return code; }
#endif
int nvmlDeviceGetPowerUsage(device d, u32 *to) {
    if (mode("hang")) sleep(600);
    return mode("timeout") ? TIMEOUT : say(to, 26780);
}
int nvmlDeviceGetTotalEnergyConsumption(device d, u64 *to) { u32 low; int code = say(&low, 123456); *to = low; return code; }
int nvmlDeviceGetClockInfo(device d, u32 kind, u32 *to) { return say(to, kind == 1 ? 585 : 5000); }
int nvmlDeviceGetMaxClockInfo(device d, u32 kind, u32 *to) { return say(to, kind == 1 ? 1590 : 5001); }
int nvmlDeviceGetTemperature(device d, u32 sensor, u32 *to) { return say(to, 40); }
int nvmlDeviceGetTemperatureThreshold(device d, u32 kind, u32 *to) {
    static const u32 limits[] = {96, 93, 0, 85};
    return kind == 2 || kind > 3 ? NOT_SUPPORTED : say(to, limits[kind]);
}
int nvmlDeviceGetFanSpeed(device d, u32 *to) { fake_fan_calls++; return NOT_SUPPORTED; }
int nvmlDeviceGetTotalEccErrors(device d, u32 type, u32 counter, u64 *to) {
    u32 low;
    int code = say(&low, type ? 0 : 3);
    *to = low;
    return counter == 1 ? code : INVALID;
}
int nvmlDeviceGetPcieReplayCounter(device d, u32 *to) { return say(to, 2); }
int nvmlDeviceGetMigMode(device d, u32 *now, u32 *later) { return NOT_SUPPORTED; }
