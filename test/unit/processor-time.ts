/** How much of the processor's time a piece of work takes, in milliseconds: what else runs on the machine takes none of it. */
export function processorMs(work: () => void): number {
  const started = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1_000;
}
