package io.cloudanix.jit.engine;

import hudson.AbortException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException;

/** What every step does: those that the library uses, and those that its examples need. */
final class Steps {
    /** After so long a step that was told to end is not waited for. */
    private static final long PATIENCE = 20_000;

    private final Engine engine;
    private final Agent agent;
    private final Disk disk;
    private final Map<String, String> base;
    private final Map<String, String> secrets;
    private final Map<Integer, Agent.Running> running = new HashMap<>();
    private boolean lost;

    Steps(Engine engine, Agent agent, Disk disk, Map<String, String> base, Map<String, String> secrets) {
        this.engine = engine;
        this.agent = agent;
        this.disk = disk;
        this.secrets = secrets;
        this.base = new TreeMap<>(base);
        this.base.put("WORKSPACE", agent.workspace().toString());
        this.base.put("WORKSPACE_TMP", agent.temporary().toString());
        this.base.put("JENKINS_NODE_COOKIE", "of-this-node");
    }

    void start(Strand strand) throws IOException {
        Step step = strand.waitsFor;
        switch (step.name) {
            case "enter":
                enter(strand, step);
                break;
            case "leave":
                leave(strand);
                break;
            case "sh":
                shell(strand, step);
                break;
            case "echo":
                disk.log(step.text("message") + "\n");
                strand.goesOn(null);
                break;
            case "error":
                strand.fails(new AbortException(step.text("message")));
                break;
            case "isUnix":
                strand.goesOn(true);
                break;
            case "libraryResource":
                strand.goesOn(Library.resource(step.text("resource")));
                break;
            default:
                strand.fails(new NoSuchMethodError("No such DSL method '" + step.name + "'"));
        }
    }

    /** The frame is saved with the program: of a credential it has the id alone. */
    private void enter(Strand strand, Step step) throws IOException {
        Map<String, Object> frame = new HashMap<>();
        step.named().forEach((name, value) -> frame.put(name.toString(), value));
        if (frame.containsKey("seconds")) {
            frame.put("until", engine.now() + ((Number) frame.get("seconds")).longValue() * 1000);
        }
        for (Map<?, ?> binding : bindings(frame)) {
            if (!secrets.containsKey(binding.get("credentialsId"))) {
                strand.fails(new AbortException(
                    "Could not find credentials entry with ID '" + binding.get("credentialsId") + "'"));
                return;
            }
            if (binding.get("kind").equals("file")) {
                Path file = Files.createTempDirectory(agent.temporary(), "secretFiles").resolve("token");
                Files.createFile(file, PosixFilePermissions.asFileAttribute(
                    PosixFilePermissions.fromString("rw-------")));
                Files.writeString(file, secrets.get(binding.get("credentialsId")));
                frame.put("file " + binding.get("variable"), file.toString());
            }
        }
        strand.frames.add(frame);
        strand.goesOn(null);
    }

    private void leave(Strand strand) throws IOException {
        Map<String, Object> frame = strand.frames.remove(strand.frames.size() - 1);
        for (Map<?, ?> binding : bindings(frame)) {
            Object file = frame.get("file " + binding.get("variable"));
            if (file != null) {
                Files.delete(Path.of(file.toString()));
            }
        }
        strand.goesOn(null);
    }

    @SuppressWarnings("unchecked")
    private static List<Map<?, ?>> bindings(Map<String, Object> frame) {
        return (List<Map<?, ?>>) frame.getOrDefault("credentials", List.of());
    }

    Map<String, String> environment(Strand strand) {
        Map<String, String> all = new TreeMap<>(base);
        for (Map<String, Object> frame : strand.frames) {
            for (Object line : (List<?>) frame.getOrDefault("env", List.of())) {
                String[] parts = line.toString().split("=", 2);
                // Jenkins takes a variable without a value away.
                if (parts[1].isEmpty()) {
                    all.remove(parts[0]);
                } else {
                    all.put(parts[0], parts[1]);
                }
            }
        }
        return all;
    }

    private void shell(Strand strand, Step step) throws IOException {
        if (lost) {
            strand.fails(new IOException("the agent has gone"));
            return;
        }
        Map<String, String> environment = environment(strand);
        Path folder = agent.workspace();
        for (Map<String, Object> frame : strand.frames) {
            for (Map<?, ?> binding : bindings(frame)) {
                String variable = binding.get("variable").toString();
                Object file = frame.get("file " + variable);
                environment.put(variable, file == null ? secrets.get(binding.get("credentialsId")) : file.toString());
            }
            folder = frame.containsKey("dir") ? folder.resolve(frame.get("dir").toString()) : folder;
        }
        Files.createDirectories(folder);
        running.put(strand.id, agent.new Running(step.text("script"), step.flag("returnStdout"), folder, environment));
    }

    /** Whether the step that it waits for is over. */
    boolean look(Strand strand) throws IOException {
        Agent.Running run = running.get(strand.id);
        if (run == null) {
            return false;
        }
        for (Map<String, Object> frame : strand.frames) {
            if (run.told == null && frame.get("until") instanceof Long && engine.now() >= (Long) frame.get("until")) {
                disk.log("Cancelling nested steps due to timeout\n");
                run.stop(new FlowInterruptedException("timeout"), engine.now());
            }
        }
        boolean impatient = run.told != null && engine.now() - run.toldAt > PATIENCE;
        if (run.process.isAlive() && !impatient && !lost) {
            return false;
        }
        running.remove(strand.id);
        disk.log(masked(Files.readString(run.log)));
        if (lost) {
            strand.fails(new IOException("the agent has gone"));
        } else if (run.told != null) {
            strand.fails(run.told);
        } else if (run.process.exitValue() != 0) {
            strand.fails(new AbortException("script returned exit code " + run.process.exitValue()));
        } else {
            boolean captured = strand.waitsFor.flag("returnStdout");
            strand.goesOn(captured ? Files.readString(run.output) : null);
        }
        return true;
    }

    /** Everything that runs at this moment. */
    void interrupt(FlowInterruptedException why, boolean signalled) throws IOException {
        for (Agent.Running run : running.values()) {
            if (signalled) {
                run.stop(why, engine.now());
            } else {
                run.told = why;
                run.toldAt = engine.now();
            }
        }
    }

    void agentLost() {
        lost = true;
    }

    private String masked(String text) {
        String masked = text;
        for (String secret : secrets.values()) {
            masked = masked.replace(secret, "****");
        }
        return masked;
    }
}
