import { createHash } from "node:crypto";
import { subtle } from "./world-crypto";

/** A seed for one of the uses of a seed: two that drew the same numbers would not be independent. */
export function derived(seed: number, use: string): number {
  return createHash("sha256").update(`${use} ${seed}`).digest().readUInt32BE();
}

/** A run takes some two thousand steps at most: what goes on for ever is a finding, and not a test that hangs. */
const MAX_STEPS = 50_000;

/**
 * A deterministic world: one seed decides who goes on when, what time it is and what chance says. While
 * `run` drives it, the globals that the service takes time, chance and digests from, and its log, are the
 * world's.
 */
export class World {
  #state: number;
  #now = Date.UTC(2026, 0, 1);
  #jumped = 0;
  #ready: (() => void)[] = [];
  /** The errors that the service has logged. */
  readonly errors: string[] = [];
  /** Hears every line of the log. */
  onLog: (line: string) => void = () => {};
  #made = 0;
  #sleeping: { until: number; wake: () => void }[] = [];

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** Between 0 and 1 (mulberry32). */
  readonly random = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error("Nothing to pick from");
    return picked;
  }

  /** Steps back until it is this caller's turn: everybody else may go first. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.#ready.push(resolve));
  }

  get now(): number {
    return this.#now;
  }

  /** The time of those whose clocks do not jump. */
  get steady(): number {
    return this.#now - this.#jumped;
  }

  /** @param signal ends the wait early, with an error */
  wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake, fail) => {
      const sleeper = { until: this.#now + milliseconds, wake };
      this.#sleeping.push(sleeper);
      const end = () => {
        this.#sleeping = this.#sleeping.filter((other) => other !== sleeper);
        fail(signal?.reason);
      };
      signal?.addEventListener("abort", end, { once: true });
    });
  }

  /** Sets the clock that the service reads forward or back; who sleeps does not notice. */
  jump(milliseconds: number): void {
    this.#now += milliseconds;
    this.#jumped += milliseconds;
    for (const sleeper of this.#sleeping) sleeper.until += milliseconds;
  }

  /** Has time go by in which nothing goes on: who sleeps sleeps on after it. */
  leap(milliseconds: number): void {
    this.#now += milliseconds;
    for (const sleeper of this.#sleeping) sleeper.until += milliseconds;
  }

  /** Runs `main` and whatever it started to the end. */
  async run<T>(main: () => Promise<T>): Promise<T> {
    const restore = this.#takeGlobals();
    let ended = false;
    const result = main().finally(() => {
      ended = true;
    });
    result.catch(() => {});
    try {
      for (let [idle, steps] = [0, 0]; ; steps++) {
        if (steps > MAX_STEPS) throw new Error("The world does not come to rest");
        // After all that has been promised: in a world nothing comes from outside of it.
        await new Promise<void>((resolve) => process.nextTick(resolve));
        // Only now: a caller that was let go has gone as far as it can, and may have queued again.
        if (ended && this.#ready.length === 0 && this.#sleeping.length === 0) break;
        const progressed = this.#letOneGo();
        idle = progressed ? 0 : idle + 1;
        if (idle > 1_000) throw new Error("The world stands still");
      }
      return await result;
    } finally {
      restore();
    }
  }

  #letOneGo(): boolean {
    if (this.#ready.length > 0) {
      const [chosen] = this.#ready.splice(this.below(this.#ready.length), 1);
      chosen?.();
      return true;
    }
    const next = this.#sleeping.sort((a, b) => a.until - b.until).shift();
    if (!next) return false;
    this.#now = Math.max(this.#now, next.until);
    next.wake();
    return true;
  }

  #takeGlobals(): () => void {
    const own = {
      scheduler: {
        wait: (milliseconds: number, options?: { signal?: AbortSignal }) => this.wait(milliseconds, options?.signal),
      },
      crypto: {
        randomUUID: () => `00000000-0000-4000-8000-${(++this.#made).toString(16).padStart(12, "0")}`,
        getRandomValues: (bytes: Uint8Array) => {
          for (let at = 0; at < bytes.length; at++) bytes[at] = this.below(256);
          return bytes;
        },
        subtle,
      },
    };
    const before = Object.fromEntries(
      Object.keys(own).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]),
    );
    const [dateNow, mathRandom, { log, error }] = [Date.now, Math.random, console];
    for (const [name, value] of Object.entries(own)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    Date.now = () => Math.floor(this.#now);
    Math.random = this.random;
    // A line for every request would be most of what a test prints.
    console.log = (line: unknown) => this.onLog(String(line));
    console.error = (line: unknown) => {
      this.errors.push(String(line));
      this.onLog(String(line));
    };
    return () => {
      Date.now = dateNow;
      Math.random = mathRandom;
      Object.assign(console, { log, error });
      for (const [name, descriptor] of Object.entries(before)) {
        if (descriptor) Object.defineProperty(globalThis, name, descriptor);
        else Reflect.deleteProperty(globalThis, name);
      }
    };
  }
}
