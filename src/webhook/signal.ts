/** Waits for so many milliseconds, or until it is aborted. */
export type Timer = (milliseconds: number, signal: AbortSignal) => Promise<void>;

/** Wakes whoever waits; a notification that comes while nobody waits is kept for the next one who does. */
export class Signal {
  readonly #timer: Timer;
  #isNotified = false;
  #wakeWaiter: () => void = () => {};

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  /** Whether a notification has come that no wait has taken yet. */
  get isNotified(): boolean {
    return this.#isNotified;
  }

  /** Safe to call at any time, any number of times: several notifications before a wait count as one. */
  notify(): void {
    this.#isNotified = true;
    this.#wakeWaiter();
  }

  /** Forgets a notification that nobody has waited for. */
  clear(): void {
    this.#isNotified = false;
  }

  /**
   * Waits for a notification and takes it, for so many milliseconds at most. The timer ends with the wait: one that
   * went on would keep an object in memory. One caller waits at a time.
   */
  async wait(milliseconds: number): Promise<void> {
    if (!this.#isNotified) {
      const end = new AbortController();
      const notified = new Promise<void>((resolve) => {
        this.#wakeWaiter = resolve;
      });
      await Promise.race([notified, this.#timer(milliseconds, end.signal).catch(() => {})]);
      end.abort();
    }
    this.#isNotified = false;
  }
}
