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
  let stop: () => void = () => undefined;
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
    signal.addEventListener("abort", stop, { once: true });
  });
  await Promise.race([settled, aborted]);
  signal.removeEventListener("abort", stop);
}
