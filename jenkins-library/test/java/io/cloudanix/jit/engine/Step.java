package io.cloudanix.jit.engine;

import java.io.Serializable;
import java.util.Map;

/** A step at which the program stands still until it is over. */
final class Step implements Serializable {
    private static final long serialVersionUID = 1L;

    final String name;
    final Object[] arguments;

    Step(String name, Object[] arguments) {
        this.name = name;
        this.arguments = arguments;
    }

    Map<?, ?> named() {
        return arguments.length > 0 && arguments[0] instanceof Map ? (Map<?, ?>) arguments[0] : Map.of();
    }

    /** The one argument, by its name or without. */
    String text(String name) {
        Object value = named().isEmpty() && arguments.length > 0 ? arguments[0] : named().get(name);
        return String.valueOf(value);
    }

    boolean flag(String name) {
        return Boolean.TRUE.equals(named().get(name));
    }
}
