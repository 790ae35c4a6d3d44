package example;

import com.google.gson.Gson;
import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;

/** Prints what it is, and when its light shows. */
public final class Lighthouse {
    private Lighthouse() {}

    public static void main(String[] arguments) throws IOException {
        Properties build = new Properties();
        try (InputStream stream = Lighthouse.class.getResourceAsStream("/build.properties")) {
            build.load(stream);
        }
        Map<String, Object> light = new TreeMap<>();
        light.put("version", build.getProperty("version"));
        light.put("built", build.getProperty("built"));
        light.put("flashes", new int[] {0, 5, 10});
        System.out.println(new Gson().toJson(light));
    }
}
