import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { createPoster } from "./post.ts";

test("a poster that is closed does not send again what it cut off", async () => {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    request.resume();
    // The first is answered, so that the second has a connection that was used before.
    if (requests === 1) request.on("end", () => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const poster = createPoster(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const giveUp = new AbortController();
  onTestFinished(() => giveUp.abort());
  const one = { headers: {}, parts: [Buffer.from("a")], signal: giveUp.signal };
  await poster.post(one);
  const cut = poster.post(one).then(
    () => "answered",
    () => "rejected",
  );
  await expect.poll(() => requests).toBe(2);
  poster.close();
  const later = new Promise((resolve) => setTimeout(resolve, 500, "still waiting"));
  expect([await Promise.race([cut, later]), requests]).toEqual(["rejected", 2]);
  await expect(poster.post(one)).rejects.toThrow("closed");
});
