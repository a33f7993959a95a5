package io.cloudanix.jit.engine;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.Outcome;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One line of execution: the program, or a branch of `parallel` in it. */
final class Strand implements Serializable {
    private static final long serialVersionUID = 1L;

    final int id;
    final Continuable program;
    /** What the blocks around the place where it stands have set up, outermost first. */
    final List<Map<String, Object>> frames;
    /** What it goes on with, unless it waits. */
    Outcome next = new Outcome(null, null);
    Step waitsFor;
    /** The branches that it waits for, by their names, and what became of them. */
    final Map<String, Integer> branches = new LinkedHashMap<>();
    Outcome end;

    Strand(int id, Continuable program, List<Map<String, Object>> frames) {
        this.id = id;
        this.program = program;
        this.frames = new ArrayList<>(frames);
    }

    void goesOn(Object value) {
        waitsFor = null;
        next = new Outcome(value, null);
    }

    void fails(Throwable thrown) {
        waitsFor = null;
        next = new Outcome(null, thrown);
    }
}
