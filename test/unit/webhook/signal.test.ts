import { beforeEach, expect, it } from "vitest";
import { Signal, type Timer } from "../../../src/webhook/signal";

/** Timers that elapse when a test says so. */
let timers: { milliseconds: number; elapse: () => void; isOn: boolean }[];
let signal: Signal;
beforeEach(() => {
  timers = [];
  const timer: Timer = (milliseconds, end) =>
    new Promise<void>((resolve, reject) => {
      const timer = { milliseconds, elapse: resolve, isOn: true };
      timers.push(timer);
      end.addEventListener("abort", () => {
        timer.isOn = false;
        reject(end.reason);
      });
    });
  signal = new Signal(timer);
});

/** Whether a wait has ended, once all that is ready has run. */
async function hasEnded(waiting: Promise<void>): Promise<boolean> {
  let ended = false;
  void waiting.then(() => {
    ended = true;
  });
  for (let n = 0; n < 10; n++) await Promise.resolve();
  return ended;
}

it("a wait ends with a notification, and so does its timer", async () => {
  const waiting = signal.wait(1_000);
  expect(await hasEnded(waiting)).toBe(false);
  signal.notify();
  expect(await hasEnded(waiting)).toBe(true);
  expect(timers.map(({ milliseconds, isOn }) => [milliseconds, isOn])).toEqual([[1_000, false]]);
  expect(signal.isNotified).toBe(false);
});

it("a wait ends when its time is up", async () => {
  const waiting = signal.wait(1_000);
  timers[0]?.elapse();
  expect(await hasEnded(waiting)).toBe(true);
});

it("a notification that comes while nobody waits ends the next wait at once, and no other", async () => {
  signal.notify();
  signal.notify();
  expect(signal.isNotified).toBe(true);
  expect(await hasEnded(signal.wait(1_000))).toBe(true);
  expect(timers).toEqual([]);
  expect(await hasEnded(signal.wait(1_000))).toBe(false);
});

it("a notification that is cleared ends no wait", async () => {
  signal.notify();
  signal.clear();
  expect(signal.isNotified).toBe(false);
  expect(await hasEnded(signal.wait(1_000))).toBe(false);
});
