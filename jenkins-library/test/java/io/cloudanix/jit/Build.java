package io.cloudanix.jit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.cloudanix.jit.engine.Engine;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A build with the library, in a folder of its own, with a client that stands in for the real one. */
final class Build implements AutoCloseable {
    static final String SECRET = "a-secret-of-the-grant-0123456789";
    static final String AUTH_TOKEN = "cjat_0123456789ab_the-auth-token-of-the-agent";
    static final String OIDC_TOKEN = "eyJhbGciOiJSUzI1NiJ9.the-builds-own-oidc-token.c2lnbmF0dXJl";

    final Path home;
    final Map<String, String> agent = new TreeMap<>();
    private final Path tools;
    private final Path record;
    private Engine engine;
    private CompletableFuture<Object> result;

    Build(String gives) throws IOException {
        home = Files.createTempDirectory("build");
        record = home.resolve("record");
        tools = Files.createDirectories(home.resolve("tools"));
        tool("cloudanix-jit", new String(Build.class.getResourceAsStream("/cloudanix-jit").readAllBytes(),
            StandardCharsets.UTF_8));
        agent.put("PATH", tools + ":" + System.getenv("PATH"));
        agent.put("FAKE_GIVES", gives);
        agent.put("FAKE_RECORD", record.toString());
        tool("secret", SECRET);
        Files.createFile(record);
    }

    /** A program on the agent's PATH. */
    void tool(String name, String script) throws IOException {
        Files.writeString(tools.resolve(name), script);
        Files.setPosixFilePermissions(tools.resolve(name), PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    /** Starts it; time goes so many times faster for it. */
    Build start(String pipeline, long speed) throws IOException {
        Map<String, String> secrets =
            Map.of("cloudanix-auth-token", AUTH_TOKEN, "cloudanix-oidc", OIDC_TOKEN, "of-another-name", AUTH_TOKEN);
        engine = new Engine(home, agent, secrets, speed);
        result = CompletableFuture.supplyAsync(() -> {
            try {
                return engine.run(pipeline);
            } catch (Throwable thrown) {
                throw new java.util.concurrent.CompletionException(thrown);
            }
        });
        return this;
    }

    Object succeeds(String pipeline) throws Exception {
        return start(pipeline, 1).value();
    }

    Throwable fails(String pipeline) throws Exception {
        return start(pipeline, 1).failure();
    }

    Object value() throws Exception {
        return result.get(60, TimeUnit.SECONDS);
    }

    Throwable failure() throws Exception {
        try {
            throw new AssertionError("it should have failed, and returned " + value());
        } catch (java.util.concurrent.ExecutionException thrown) {
            return thrown.getCause();
        }
    }

    Engine engine() {
        return engine;
    }

    /** Waits for a file in the workspace. */
    Build when(String file) throws Exception {
        until(() -> Files.exists(home.resolve("workspace").resolve(file)));
        return this;
    }

    Build whenRecorded(String line) throws Exception {
        until(() -> recorded().stream().anyMatch(found -> found.startsWith(line)));
        return this;
    }

    private void until(BooleanSupplier come) throws Exception {
        long deadline = System.currentTimeMillis() + 20_000;
        while (!come.getAsBoolean()) {
            assertTrue("did not come; so far: " + engine.log() + result,
                System.currentTimeMillis() < deadline && !result.isCompletedExceptionally());
            Thread.sleep(5);
        }
    }

    String workspace(String file) throws IOException {
        return Files.readString(home.resolve("workspace").resolve(file)).trim();
    }

    List<String> recorded() {
        try {
            return Files.readAllLines(record);
        } catch (IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    /** What the stand-in did, without its arguments and in which grant. */
    List<String> story() {
        return recorded().stream().filter(line -> !line.startsWith("argument"))
            .map(line -> line.replaceAll(" ?elev-\\d+", "")).collect(Collectors.toList());
    }

    /** Nothing is left on the agent, and the controller never had a secret in any form. */
    void leavesNothing() throws IOException {
        try (Stream<Path> files = Files.list(home.resolve("workspace@tmp"))) {
            List<Path> left = files.filter(path -> path.getFileName().toString().startsWith("cloudanix"))
                .collect(Collectors.toList());
            assertEquals(List.of(), left);
        }
        saysNoSecret();
    }

    void saysNoSecret() throws IOException {
        List<Path> written;
        try (Stream<Path> files = Files.walk(home.resolve("controller"))) {
            written = files.filter(Files::isRegularFile).collect(Collectors.toList());
        }
        assertTrue("a program was saved at every step", written.size() > 10);
        for (Path file : written) {
            String text = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
            for (String secret : List.of(SECRET, AUTH_TOKEN, OIDC_TOKEN)) {
                for (String form : forms(secret)) {
                    assertTrue(secret + " as " + form + " is in " + file, !text.contains(form));
                }
            }
        }
    }

    private static List<String> forms(String secret) {
        List<String> forms = new ArrayList<>(List.of(secret));
        byte[] bytes = secret.getBytes(StandardCharsets.UTF_8);
        for (int skipped = 0; skipped < 3; skipped++) {
            int end = skipped + (bytes.length - skipped) / 3 * 3;
            forms.add(Base64.getEncoder().encodeToString(Arrays.copyOfRange(bytes, skipped, end)));
        }
        return forms;
    }

    @Override
    public void close() throws IOException {
        // A stand-in that is stuck ends with its record.
        Files.delete(record);
        // A process that is just ending may still write.
        long deadline = System.currentTimeMillis() + 10_000;
        while (Files.exists(home) && System.currentTimeMillis() < deadline) {
            try (Stream<Path> files = Files.walk(home)) {
                files.sorted((one, other) -> other.compareTo(one)).forEach(path -> path.toFile().delete());
            } catch (java.io.UncheckedIOException gone) {
                continue;
            }
        }
    }
}
