/** Resolves when `work` has settled or `signal` aborts, whichever is first. Never rejects, and cancels nothing. */
export async function untilAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const settled = work.then(
    () => undefined,
    () => undefined,
  );
  if (signal.aborted) {
    // What has settled already still counts; what has not is left alone.
    await Promise.race([settled, Promise.resolve()]);
    return;
  }
  const aborted = Promise.withResolvers<void>();
  const onAbort = (): void => aborted.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  await Promise.race([settled, aborted.promise]);
  signal.removeEventListener("abort", onAbort);
}

/** Waits `ms`, or until `signal` aborts, without keeping the process alive. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    timer.unref();
    signal.addEventListener("abort", end, { once: true });
  });
}
