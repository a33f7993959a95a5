package io.cloudanix.jit.engine;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.SerializableScript;
import groovy.lang.GroovyObjectSupport;
import groovy.lang.Script;
import java.io.Serializable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.codehaus.groovy.runtime.InvokerHelper;

/** What a Jenkinsfile and a file in `vars/` extend: every call that they do not answer themselves is a step. */
public abstract class PipelineScript extends SerializableScript {
    private static final long serialVersionUID = 1L;
    static final String BLOCKS = "steps that take a block";
    private static final Set<String> BINDINGS = Set.of("string", "file");

    @Override
    public Object invokeMethod(String name, Object arguments) {
        Object[] list = arguments instanceof Object[] ? (Object[]) arguments : new Object[] {arguments};
        if (!getMetaClass().respondsTo(this, name, list).isEmpty()) {
            return getMetaClass().invokeMethod(this, name, list);
        }
        Map<?, ?> variables = getBinding().getVariables();
        if (variables.get(name) instanceof Script) {
            return InvokerHelper.invokeMethod(variables.get(name), "call", list);
        }
        Script blocks = (Script) variables.get(BLOCKS);
        if (blocks != null && !blocks.getMetaClass().respondsTo(blocks, name, list).isEmpty()) {
            return InvokerHelper.invokeMethod(blocks, name, list);
        }
        if (BINDINGS.contains(name)) {
            Map<Object, Object> binding = new LinkedHashMap<>((Map<?, ?>) list[0]);
            binding.put("kind", name);
            return binding;
        }
        return Continuable.suspend(name, new Step(name, list));
    }

    @Override
    public Object getProperty(String name) {
        if (name.equals("env")) {
            return new Environment();
        }
        // In a declarative pipeline a bare word: `agent any`.
        return List.of("any", "none").contains(name) ? name : super.getProperty(name);
    }

    /** `env`: what a step would find in its environment here. */
    public static final class Environment extends GroovyObjectSupport implements Serializable {
        private static final long serialVersionUID = 1L;

        @Override
        public Object getProperty(String name) {
            return Engine.current().environment().get(name);
        }
    }
}
