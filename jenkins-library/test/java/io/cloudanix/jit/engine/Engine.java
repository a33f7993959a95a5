package io.cloudanix.jit.engine;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.Continuation;
import com.cloudbees.groovy.cps.Envs;
import com.cloudbees.groovy.cps.Outcome;
import com.cloudbees.groovy.cps.impl.CpsCallableInvocation;
import groovy.lang.Closure;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException;

/**
 * Runs a pipeline as Jenkins does: transformed by its own engine, one step after the other, and at every step
 * written to the disk and read back, so that whatever cannot be saved, or must not be, shows.
 */
public final class Engine {
    private static final ThreadLocal<Engine> CURRENT = new ThreadLocal<>();

    private final Library library = new Library();
    private final Disk disk;
    private final Steps steps;
    private final long speed;
    private final long since = System.currentTimeMillis();
    private final List<String> orders = new ArrayList<>();
    private ArrayList<Strand> strands = new ArrayList<>();
    private Strand here;
    private int lastId;

    /**
     * In this folder, with what the agent's own environment has and the credentials by their ids; time goes so
     * many times faster than ours.
     */
    public Engine(Path home, Map<String, String> agentEnvironment, Map<String, String> secrets, long speed)
            throws IOException {
        this.disk = new Disk(home);
        this.steps = new Steps(this, new Agent(home.resolve("workspace")), disk, agentEnvironment, secrets);
        this.speed = speed;
    }

    static Engine current() {
        return CURRENT.get();
    }

    long now() {
        return since + (System.currentTimeMillis() - since) * speed;
    }

    Map<String, String> environment() {
        return steps.environment(here);
    }

    /** What people have seen of the build so far. */
    public String log() throws IOException {
        return disk.log();
    }

    /** From any thread: somebody aborts the build. */
    public void abort() {
        order("abort");
    }

    /** The same, when the processes were sent their signals by somebody else. */
    public void interrupted() {
        order("interrupted");
    }

    /** From any thread: nothing can be run on the agent any more. */
    public void agentLost() {
        order("lost");
    }

    private void order(String what) {
        synchronized (orders) {
            orders.add(what);
        }
    }

    /** Runs it to its end; what it returns, or throws. */
    public Object run(String pipeline) throws Throwable {
        CURRENT.set(this);
        try {
            strands.add(new Strand(0, new Continuable(library.load(pipeline), Envs.empty(new Clock())), List.of()));
            while (strands.get(0).end == null) {
                if (!turn()) {
                    Thread.sleep(5);
                }
            }
            return strands.get(0).end.replay();
        } finally {
            CURRENT.remove();
        }
    }

    /** Whether anything has happened. */
    private boolean turn() throws Exception {
        obey();
        boolean moved = false;
        for (int at = 0; at < strands.size(); at++) {
            here = strands.get(at);
            if (here.end != null) {
                continue;
            }
            if (here.waitsFor == null) {
                advance(at);
                moved = true;
            } else {
                moved |= steps.look(here) || joined(here);
            }
        }
        return moved;
    }

    private void obey() throws IOException {
        List<String> given;
        synchronized (orders) {
            given = new ArrayList<>(orders);
            orders.clear();
        }
        for (String order : given) {
            if (order.equals("lost")) {
                steps.agentLost();
            } else {
                disk.log("Aborted by somebody\nSending interrupt signal to process\n");
                FlowInterruptedException why = new FlowInterruptedException("somebody");
                steps.interrupt(why, order.equals("abort"));
            }
        }
    }

    private void advance(int at) throws Exception {
        Outcome yielded = here.program.run0(here.next, Continuable.categories);
        if (!here.program.isResumable()) {
            here.end = yielded;
            return;
        }
        here.waitsFor = (Step) yielded.getNormal();
        strands = disk.saved(strands, library.loader());
        here = strands.get(at);
        disk.node(here.id, here.waitsFor);
        if (here.waitsFor.name.equals("fork")) {
            branch((Map<?, ?>) here.waitsFor.arguments[0]);
        } else {
            steps.start(here);
        }
    }

    private void branch(Map<?, ?> branches) {
        branches.forEach((name, body) -> {
            if (body instanceof Closure) {
                Strand strand = new Strand(++lastId, program((Closure<?>) body), here.frames);
                here.branches.put(name.toString(), strand.id);
                strands.add(strand);
            }
        });
    }

    private static Continuable program(Closure<?> body) {
        try {
            body.call();
            throw new IllegalArgumentException("a block that was not transformed");
        } catch (CpsCallableInvocation call) {
            return new Continuable(call.invoke(Envs.empty(new Clock()), null, Continuation.HALT));
        }
    }

    /** All branches are waited for; the first that failed is what `parallel` throws. */
    private boolean joined(Strand strand) {
        if (!strand.waitsFor.name.equals("fork")) {
            return false;
        }
        Throwable failure = null;
        for (int id : strand.branches.values()) {
            Outcome end = strands.stream().filter(one -> one.id == id).findFirst().orElseThrow().end;
            if (end == null) {
                return false;
            }
            failure = failure == null ? end.getAbnormal() : failure;
        }
        if (failure == null) {
            strand.goesOn(null);
        } else {
            strand.fails(failure);
        }
        return true;
    }
}
