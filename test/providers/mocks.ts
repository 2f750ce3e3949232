/** Starts the providers that others have written, on the loopback interface and ports that the system chooses. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { LOCALSTRIPE, MOLLIE_DOCUMENT, PRISM, PYTHON, STATEFUL_MOCK, STRIPE_MOCK } from "./install";

/** How long one may take to answer, in milliseconds; on two busy cores they need some 2,000. */
const START_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 5_000;

export interface Mock {
  /** Where it answers: an origin, without a slash at its end. */
  readonly url: string;
  /** All that it has printed so far. */
  readonly log: () => string;
  /** Ends it with all that it knows, and waits until it is gone. */
  readonly stop: () => Promise<void>;
}

/** Stripe's own mock: it takes what Stripe's description of its API allows, and knows nothing afterwards. */
export const startStripeMock = (): Promise<Mock> =>
  // Without an address of its own, HTTPS would be open to everybody.
  start(
    STRIPE_MOCK,
    ["-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0"],
    /for HTTP at address: (127\.0\.0\.1:\d+)/,
  );

/** A Stripe that behaves, without idempotency keys and without sums. */
export const startLocalstripe = (): Promise<Mock> => start(PYTHON, [LOCALSTRIPE], /^http:\/\/(127\.0\.0\.1:\d+)$/);

/** Stripe's charges and refunds of 2020, with idempotency keys. */
export const startStatefulMock = (): Promise<Mock> =>
  start(process.execPath, [STATEFUL_MOCK], /^http:\/\/(127\.0\.0\.1:\d+)$/, { LOG_LEVEL: "silent" });

/** Mollie's API by its document alone: a request that is not as the document says is answered with what is wrong with it. */
export const startPrism = (): Promise<Mock> => prism("mock", MOLLIE_DOCUMENT);

/** The same before another server, whose answers are held to the document, too. */
export const startPrismBefore = (url: string): Promise<Mock> => prism("proxy", MOLLIE_DOCUMENT, url);

const prism = (mode: "mock" | "proxy", ...words: string[]): Promise<Mock> =>
  start(
    process.execPath,
    [PRISM, mode, "--errors", "--host", "127.0.0.1", "--port", "0", ...words],
    /Prism is listening on http:\/\/(127\.0\.0\.1:\d+)/,
  );

/**
 * Starts a program and waits for the line that says where it answers.
 *
 * @throws Error with its log when it ends, or says nothing in time
 */
async function start(
  command: string,
  words: readonly string[],
  ready: RegExp,
  variables: NodeJS.ProcessEnv = {},
): Promise<Mock> {
  const child = spawn(command, words, { env: { ...process.env, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  const stop = async () => {
    await end(child);
    process.off("exit", kill);
  };
  let log = "";
  const address = await new Promise<string | null>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on("line", (line) => {
        log += `${line}\n`;
        const [, found] = ready.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
    }
    child.once("error", (error) => {
      log += `${error}\n`;
      resolve(null);
    });
    child.once("close", () => resolve(null));
    setTimeout(resolve, START_WITHIN_MS, null).unref();
  });
  if (address !== null) return { url: `http://${address}`, log: () => log, stop };
  await stop();
  throw new Error(`${command} did not start. Its log:\n${log}`);
}

async function end(child: ChildProcess): Promise<void> {
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
  if (hasEnded()) return;
  const gone = once(child, "close");
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
  await gone;
  clearTimeout(late);
}
