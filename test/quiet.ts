/**
 * What the runtime and the bundler print past every reporter, because a test provokes it on purpose. Anything else is written as ever: it is news.
 */
const PROVOKED: readonly RegExp[] = [
  // Tests send header values that a server must refuse.
  /^A header value for "[\w-]+" contains non-ASCII characters: /,
  // Tests abort an object in the middle of a call.
  /^uncaught exception; exception = workerd\/api\/actor-state\.c\+\+:\d+: failed: broken\.\w+; jsg\.Error: as by an outage\b/,
  // It is published without its sources, which nobody steps through.
  /Sourcemap for ".*\/node_modules\/standardwebhooks\/dist\/index\.js" points to missing source files/,
  // Tests move clocks, and with them alarms that are just being handled.
  /^NOSENTRY SQLite alarm handler canceled with requestScheduledAlarm/,
];

/** Whether a printed text is one that tests provoke. */
export function isProvoked(text: string): boolean {
  return PROVOKED.some((pattern) => pattern.test(text));
}

/** A global setup of vitest: keeps what tests provoke off the terminal, until its returned function is called. */
export default function quiet(): () => void {
  const restore = [process.stdout, process.stderr].map((stream) => {
    const write = stream.write;
    const filtered: typeof write = (chunk: string | Uint8Array, ...rest: unknown[]) =>
      typeof chunk === "string" && isProvoked(chunk) ? true : Reflect.apply(write, stream, [chunk, ...rest]);
    stream.write = filtered;
    return () => {
      stream.write = write;
    };
  });
  return () => {
    for (const undo of restore) undo();
  };
}
