/** What Linux knows of a process. Its clock ticks a hundred times a second, so times are to 10 ms. */
import { readFileSync } from "node:fs";

const TICK = 10;

/** The processor time that a process has used, in milliseconds. */
export function processorTime(pid: number): number {
  const fields = statFields(pid);
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/** The time since the machine was started, in milliseconds. */
export function uptime(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
}

/** The uptime of the machine when a process was started. */
export function startOf(pid: number): number {
  return Number(statFields(pid)[19]) * TICK;
}

/** The memory that a process has resident, in MiB. */
export function residentMemory(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1024;
}

/** The fields of /proc/PID/stat from the third on: what comes before is the name, which may hold spaces. */
function statFields(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
}
