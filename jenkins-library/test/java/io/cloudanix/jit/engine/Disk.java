package io.cloudanix.jit.engine;

import com.cloudbees.groovy.cps.ObjectInputStreamWithLoader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;

/** What the controller writes down of a build: the program at every step, the steps with their arguments, the log. */
final class Disk {
    private final Path programs;
    private final Path nodes;
    private final Path log;
    private int written;

    Disk(Path home) throws IOException {
        programs = Files.createDirectories(home.resolve("controller/programs"));
        nodes = Files.createDirectories(home.resolve("controller/nodes"));
        log = home.resolve("controller/log");
    }

    /** Saves the program, and gives back what was read from that: nothing of the one before is used again. */
    @SuppressWarnings("unchecked")
    ArrayList<Strand> saved(ArrayList<Strand> strands, ClassLoader loader) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(strands);
        }
        Files.write(programs.resolve(String.format("%04d.dat", ++written)), bytes.toByteArray());
        ByteArrayInputStream in = new ByteArrayInputStream(bytes.toByteArray());
        try (ObjectInputStreamWithLoader read = new ObjectInputStreamWithLoader(in, loader)) {
            return (ArrayList<Strand>) read.readObject();
        } catch (ClassNotFoundException error) {
            throw new IllegalStateException(error);
        }
    }

    void node(int strand, Step step) throws IOException {
        String arguments = Arrays.deepToString(step.arguments);
        Files.writeString(nodes.resolve(String.format("%04d", written)), strand + " " + step.name + " " + arguments);
    }

    void log(String text) throws IOException {
        Files.writeString(log, text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    String log() throws IOException {
        return Files.exists(log) ? Files.readString(log) : "";
    }
}
