package io.cloudanix.jit.engine;

import com.cloudbees.groovy.cps.CpsTransformer;
import groovy.lang.GroovyClassLoader;
import groovy.lang.GroovyCodeSource;
import groovy.lang.Script;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.codehaus.groovy.control.CompilerConfiguration;

/** The library as Jenkins loads it: `vars/` by name, `src/` as classes, `resources/` as text; all of it transformed. */
final class Library {
    private static final Path ROOT = Path.of(System.getProperty("library.root", "")).toAbsolutePath();
    private final GroovyClassLoader loader;

    Library() {
        CompilerConfiguration configuration = new CompilerConfiguration();
        configuration.addCompilationCustomizers(new CpsTransformer());
        configuration.setScriptBaseClass(PipelineScript.class.getName());
        loader = new GroovyClassLoader(Library.class.getClassLoader(), configuration);
        loader.addClasspath(ROOT.resolve("src").toString());
    }

    GroovyClassLoader loader() {
        return loader;
    }

    Script load(String pipeline) throws IOException {
        // `@Library('…') _` is for Jenkins, which has looked for the library by then.
        String text = pipeline.lines().filter(line -> !line.startsWith("@Library")).collect(Collectors.joining("\n"));
        Script script = made(new GroovyCodeSource(text, "Jenkinsfile.groovy", "/groovy/script"));
        Script blocks = made(new GroovyCodeSource(Library.class.getResource("/Blocks.groovy")));
        script.setProperty(PipelineScript.BLOCKS, blocks);
        try (Stream<Path> files = Files.list(ROOT.resolve("vars"))) {
            for (Path file : files.filter(path -> path.toString().endsWith(".groovy")).collect(Collectors.toList())) {
                Script variable = made(new GroovyCodeSource(file.toFile()));
                variable.setProperty(PipelineScript.BLOCKS, blocks);
                script.setProperty(file.getFileName().toString().replace(".groovy", ""), variable);
            }
        }
        return script;
    }

    private Script made(GroovyCodeSource source) {
        try {
            return (Script) loader.parseClass(source).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    static String resource(String path) throws IOException {
        return Files.readString(ROOT.resolve("resources").resolve(path));
    }
}
