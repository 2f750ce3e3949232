/** The log of the service, a JSON object a line, as lines that are read in a terminal. */
import { stripVTControlCharacters } from "node:util";

/** A line that wrangler prints of its own accord, and that says nothing which the service's own lines don't. */
const NOISE = [
  /^\s*$/,
  /^\[wrangler:info\] [A-Z]+ \S+ \d{3} /,
  // A batch of which a message is to come again is no noise.
  /^\[wrangler:info\] QUEUE \S+ (\d+)\/\1 /,
  /^\[wrangler:info\] Ready on /,
  // A name that does not resolve: the attempt's own line says that there was no connection. Only addresses are in its stack.
  /^✘ \[ERROR\] e = rust\/worker\/ffi\.rs:\d+: failed: failed to lookup address information/,
  /^ +stack:( \S*workerd@[\da-f]+)+\s*$/,
  /^\[custom build\] Running: /,
  /^(Your Worker has access to|Binding {2}|env\.)/,
  /^⎔ (Starting local server|Connection status)/,
  // `npm start` runs the crons itself.
  /Scheduled Workers are not automatically triggered/,
  /^ +(To manually trigger a scheduled event|curl "http:\/\/localhost:\d+\/cdn-cgi|For more details, see)/,
];

/** What a job counts; a run that has found nothing to do says nothing in a terminal. */
const COUNTERS = ["woken", "cancelled", "deleted", "wiped"];

/**
 * A line of the log as it is shown, or null when it is left out.
 *
 * @param printed what wrangler has printed
 * @param now the local time
 */
export function readable(printed: string, now: Date): string | null {
  const line = stripVTControlCharacters(printed);
  const entry = parse(line);
  if (entry === null) return isNoise(line) ? null : line;
  const { message, ...fields } = entry;
  const time = `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, "0")}`;
  if (message === "request") {
    const { method, path, route, status, duration_ms, request_id } = fields;
    return `${time}  ${method} ${path ?? route ?? "?"}  ${status}  ${duration_ms} ms  ${request_id}`;
  }
  const counted = COUNTERS.filter((name) => typeof fields[name] === "number");
  if (counted.length > 0 && counted.every((name) => fields[name] === 0)) return null;
  const { error, ...rest } = fields;
  const words = Object.entries(rest).map(([name, value]) => `${name}=${show(value)}`);
  // An error comes with its stack, on lines of its own.
  return [`${time}  ${[message, ...words].join(" ")}`, ...(typeof error === "string" ? [error] : [])].join("\n");
}

const isNoise = (line: string) => NOISE.some((noise) => noise.test(line));

/**
 * Where a line goes when the log is asked for as JSON: what the service has logged to the standard output as it is, and
 * what wrangler and the runtime say besides to the error stream, as an object, too; null when it is left out.
 *
 * @param printed what wrangler has printed
 */
export function asJson(printed: string): { stream: "stdout" | "stderr"; text: string } | null {
  const line = stripVTControlCharacters(printed);
  if (parse(line) !== null) return { stream: "stdout", text: line };
  return isNoise(line) ? null : { stream: "stderr", text: JSON.stringify({ message: "runtime", line }) };
}

const show = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

function parse(line: string): { message: string; [field: string]: unknown } | null {
  if (!line.startsWith("{")) return null;
  try {
    const entry = JSON.parse(line);
    return typeof entry.message === "string" ? entry : null;
  } catch {
    return null;
  }
}
