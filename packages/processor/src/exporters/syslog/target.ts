// Where messages go, with certificates that may be renewed while it runs.
import { createSecureContext } from "node:tls";
import { clientTls, type ClientTlsConfig } from "../../tls-client.ts";
import type { ConnectionOptions } from "./connection.ts";
import { endpointOf, type SyslogConfig } from "./settings.ts";

/** Where to connect. */
export type Target = Pick<ConnectionOptions, "host" | "port" | "tls">;

/** A target whose files can be read again. */
export interface TargetSource {
  /** Throws a `SettingError` when a file cannot be used. */
  current(): Target;
  /** The next {@link current} reads the files again: after a failure, since certificates end and are renewed. */
  forget(): void;
}

/** Makes one. `files`: settings that are a file's content, by their path, and the file. */
export function createTarget(
  config: Pick<SyslogConfig, "endpoint" | "transport" | "tls">,
  files: ReadonlyMap<string, string> = new Map(),
): TargetSource {
  const place = endpointOf(config);
  let known: Target | undefined;
  return {
    current: () => {
      known ??= config.transport === "tcp" ? place : { ...place, tls: tlsOf(config.tls, files) };
      return known;
    },
    forget: () => void (known = undefined),
  };
}

function tlsOf(
  config: ClientTlsConfig,
  files: ReadonlyMap<string, string>,
): NonNullable<Target["tls"]> {
  // A path in place of the content makes the file be read.
  const fresh = (["ca", "cert", "key"] as const).flatMap((part) => {
    const file = files.get(`tls.${part}`);
    return file === undefined ? [] : [[part, file] as const];
  });
  const { servername, ...context } = clientTls({ ...config, ...Object.fromEntries(fresh) });
  return {
    secureContext: createSecureContext(context),
    ...(servername === undefined ? {} : { servername }),
  };
}
