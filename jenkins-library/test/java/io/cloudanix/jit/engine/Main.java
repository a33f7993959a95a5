package io.cloudanix.jit.engine;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException;

/**
 * One build: the Jenkinsfile and the folder for all that it writes are arguments. Variables `AGENT_…` are the
 * agent's environment and `SECRET_…` the credentials, with `_` for `-` in their ids. A file `abort`,
 * `interrupted` or `lost` in the folder is what somebody outside does to the build.
 */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[1]);
        Engine engine = new Engine(home, starting("AGENT_"), credentials(), 1);
        Thread outside = new Thread(() -> watch(home, engine));
        outside.setDaemon(true);
        outside.start();
        String result;
        try {
            result = "SUCCESS " + engine.run(Files.readString(Path.of(arguments[0])));
        } catch (FlowInterruptedException aborted) {
            result = "ABORTED " + aborted.why();
        } catch (Throwable failed) {
            result = "FAILURE " + failed;
        }
        Files.writeString(home.resolve("result.new"), result);
        Files.move(home.resolve("result.new"), home.resolve("result"));
    }

    private static Map<String, String> starting(String prefix) {
        Map<String, String> found = new TreeMap<>();
        System.getenv().forEach((name, value) -> {
            if (name.startsWith(prefix)) {
                found.put(name.substring(prefix.length()), value);
            }
        });
        return found;
    }

    private static Map<String, String> credentials() {
        Map<String, String> found = new TreeMap<>();
        starting("SECRET_").forEach((name, value) -> found.put(name.replace('_', '-'), value));
        return found;
    }

    private static void watch(Path home, Engine engine) {
        Map<String, Runnable> orders =
            Map.of("abort", engine::abort, "interrupted", engine::interrupted, "lost", engine::agentLost);
        try {
            while (true) {
                orders.forEach((name, order) -> {
                    if (home.resolve(name).toFile().delete()) {
                        order.run();
                    }
                });
                Thread.sleep(5);
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }
}
