// What a broker of the tests is told about itself.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Loopback ports of one broker. */
export interface Ports {
  readonly plain: number;
  readonly controller: number;
  readonly sasl: number;
  readonly saslTls: number;
  readonly proxied: number;
}

/** The file that a broker starts from. */
export function propertiesOf(of: {
  root: string;
  node: { readonly id: number; readonly directory: string };
  own: Ports;
  ports: readonly Ports[];
  options: {
    readonly nodes: number;
    readonly users?: object;
    readonly proxyPorts?: readonly number[];
  };
}): string {
  const { root, node, own, ports, options } = of;
  const secured = options.users !== undefined;
  const proxy = options.proxyPorts?.[node.id - 1];
  const listeners: [name: string, protocol: string, port: number, advertised: number][] = [
    ["PLAIN", "PLAINTEXT", own.plain, own.plain],
  ];
  if (proxy !== undefined) listeners.push(["PROXIED", "PLAINTEXT", own.proxied, proxy]);
  if (secured) {
    listeners.push(
      ["SCRAM", "SASL_PLAINTEXT", own.sasl, own.sasl],
      ["SCRAMTLS", "SASL_SSL", own.saslTls, own.saslTls],
    );
  }
  const replicas = String(options.nodes);
  const properties: Record<string, string> = {
    "process.roles": "broker,controller",
    "node.id": String(node.id),
    "log.dirs": node.directory,
    listeners: [
      ...listeners.map(([name, , port]) => `${name}://127.0.0.1:${port}`),
      `CONTROLLER://127.0.0.1:${own.controller}`,
    ].join(","),
    "advertised.listeners": listeners
      .map(([name, , , advertised]) => `${name}://127.0.0.1:${advertised}`)
      .join(","),
    "listener.security.protocol.map": [
      ...listeners.map(([name, protocol]) => `${name}:${protocol}`),
      "CONTROLLER:PLAINTEXT",
    ].join(","),
    "inter.broker.listener.name": "PLAIN",
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.voters": ports
      .map(({ controller }, at) => `${at + 1}@127.0.0.1:${controller}`)
      .join(","),
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    // A broker that was away leads again soon after it is back, without being asked: leaders move more often than brokers die.
    "leader.imbalance.check.interval.seconds": "5",
    "leader.imbalance.per.broker.percentage": "0",
    // A client that lets topics come into being by themselves would show here.
    "auto.create.topics.enable": "true",
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.enable": "false",
  };
  if (secured) Object.assign(properties, securityOf(root));
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}

function securityOf(root: string): Record<string, string> {
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
  return {
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.scram.scram-sha-512.sasl.jaas.config": scram,
    "listener.name.scramtls.scram-sha-512.sasl.jaas.config": scram,
    "ssl.keystore.type": "PKCS12",
    "ssl.keystore.location": join(root, "broker.p12"),
    "ssl.keystore.password": "changeit",
    "ssl.key.password": "changeit",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
  };
}

/** A key of its own, with a certificate for loopback, made by the tool that comes with Java. Returns the certificate. */
export async function certificate(root: string): Promise<string> {
  const keytool =
    process.env["JAVA_HOME"] === undefined
      ? "keytool"
      : join(process.env["JAVA_HOME"], "bin", "keytool");
  const store = [
    "-keystore",
    join(root, "broker.p12"),
    "-storetype",
    "PKCS12",
    "-storepass",
    "changeit",
    "-alias",
    "broker",
  ];
  const names = ["-dname", "CN=localhost", "-ext", "san=dns:localhost,ip:127.0.0.1"];
  await run(keytool, [
    "-genkeypair",
    ...store,
    "-keyalg",
    "EC",
    "-groupname",
    "secp256r1",
    "-validity",
    "2",
    ...names,
  ]);
  const { stdout } = await run(keytool, ["-exportcert", "-rfc", ...store]);
  return stdout;
}
