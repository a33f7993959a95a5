package io.cloudanix.jit.engine;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Where steps run: real processes, found again by the cookie in their environment, as the durable-task plugin does. */
final class Agent {
    private final Path workspace;

    Agent(Path workspace) throws IOException {
        this.workspace = workspace;
        Files.createDirectories(workspace);
        Files.createDirectories(temporary());
    }

    Path workspace() {
        return workspace;
    }

    Path temporary() {
        return workspace.resolveSibling(workspace.getFileName() + "@tmp");
    }

    /** One per folder in which a step runs, and not one per step. */
    static String cookie(Path folder) {
        try {
            byte[] digest = MessageDigest.getInstance("MD5").digest(folder.toString().getBytes(StandardCharsets.UTF_8));
            return "durable-" + hex(digest);
        } catch (java.security.NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte one : bytes) {
            text.append(String.format("%02x", one));
        }
        return text.toString();
    }

    /** A shell script at work. */
    final class Running {
        final Process process;
        final Path folder;
        final Path log;
        final Path output;
        /** Why it was told to end, and since when. */
        Throwable told;
        long toldAt;

        Running(String script, boolean captured, Path folder, Map<String, String> environment) throws IOException {
            Path control = Files.createTempDirectory(temporary(), "durable-");
            Path file = control.resolve("script.sh");
            Files.writeString(file, script);
            this.folder = folder;
            log = control.resolve("jenkins-log.txt");
            output = control.resolve("output.txt");
            List<String> line = new ArrayList<>(List.of("setsid"));
            if (script.startsWith("#!")) {
                Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
            } else {
                line.addAll(List.of("sh", "-xe"));
            }
            line.add(file.toString());
            ProcessBuilder builder = new ProcessBuilder(line).directory(folder.toFile());
            builder.environment().clear();
            builder.environment().putAll(environment);
            builder.environment().put("JENKINS_SERVER_COOKIE", cookie(folder));
            builder.redirectInput(Path.of("/dev/null").toFile());
            builder.redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()));
            builder.redirectOutput(ProcessBuilder.Redirect.appendTo((captured ? output : log).toFile()));
            process = builder.start();
        }

        /** Asks everybody with the cookie of this folder to end. */
        void stop(Throwable why, long now) throws IOException {
            told = why;
            toldAt = now;
            signal("TERM", "JENKINS_SERVER_COOKIE=" + cookie(folder));
        }
    }

    static void signal(String name, String mark) throws IOException {
        for (String pid : marked(mark)) {
            new ProcessBuilder("kill", "-s", name, pid).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        }
    }

    static List<String> marked(String mark) throws IOException {
        try (Stream<Path> entries = Files.list(Path.of("/proc"))) {
            return entries.map(entry -> entry.getFileName().toString())
                .filter(name -> name.chars().allMatch(Character::isDigit))
                .filter(pid -> List.of(environ(pid).split("\0")).contains(mark))
                .collect(Collectors.toList());
        } catch (UncheckedIOException error) {
            throw error.getCause();
        }
    }

    private static String environ(String pid) {
        try {
            return Files.readString(Path.of("/proc", pid, "environ"), StandardCharsets.ISO_8859_1);
        } catch (IOException gone) {
            return "";
        }
    }
}
