/** An object's alarm, whoever asks for it. */

/** How late the runtime may be with an alarm, in milliseconds. */
const MAX_ALARM_DELAY_MS = 60_000;

/**
 * Has an object's alarm go off at a time in milliseconds, or sooner. One that is set for then or earlier stays, so that it is
 * set at most once however many ask; but not one that should have gone off long before. The runtime waits for as long as
 * there was to wait when an alarm was set, by a clock that does not jump: where the time is set ahead, or the machine
 * has slept, the alarm may still be hours away when its time is over.
 */
export async function setAlarmBy(
  storage: Pick<DurableObjectStorage, "getAlarm" | "setAlarm">,
  at: number,
): Promise<void> {
  const alarm = await storage.getAlarm();
  const isInTime = alarm !== null && alarm <= at && alarm >= at - MAX_ALARM_DELAY_MS;
  if (!isInTime) await storage.setAlarm(at);
}
