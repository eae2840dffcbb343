/** True for https URLs, and for http URLs whose host is this machine; never for one with a user or a password in it. */
export function isHttpsOrLoopback(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "") return false;
  if (url.protocol === "https:") return true;
  return url.protocol === "http:" && isLoopbackHost(url.hostname);
}

/** True for names and addresses that never leave this machine. An IPv6 address may be in brackets, as in a URL. */
export function isLoopbackHost(host: string): boolean {
  return (
    host === "localhost" || host === "[::1]" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host)
  );
}
