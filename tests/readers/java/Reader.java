import com.google.gson.GsonBuilder;
import com.rometools.modules.content.ContentModule;
import com.rometools.rome.feed.module.DCModule;
import com.rometools.rome.feed.synd.SyndCategory;
import com.rometools.rome.feed.synd.SyndContent;
import com.rometools.rome.feed.synd.SyndEntry;
import com.rometools.rome.feed.synd.SyndFeed;
import com.rometools.rome.feed.synd.SyndLink;
import com.rometools.rome.feed.synd.SyndPerson;
import com.rometools.rome.io.SyndFeedInput;
import com.rometools.rome.io.XmlReader;
import com.rometools.rome.io.impl.DateParser;
import java.io.File;
import java.io.FileInputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import org.jdom2.Element;

/** Reads the feeds that its arguments name with ROME, and prints what a program in Java finds in them. */
public final class Reader {
    /** Characters of a body. */
    private static final int SHOWN = 120;
    private static final DateTimeFormatter MOMENT =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    record Document(String title, List<String> links, String updated, String language, List<Item> items) {}

    record Item(
            String id,
            String title,
            String link,
            List<String> links,
            String published,
            String updated,
            List<String> authors,
            List<String> categories,
            String language,
            String summary,
            String content) {}

    public static void main(String[] paths) throws Exception {
        var documents = new TreeMap<String, Document>();
        for (var path : paths) {
            var file = new File(path);
            try (var reader = new XmlReader(new FileInputStream(file))) {
                documents.put(file.getName(), document(new SyndFeedInput().build(reader)));
            }
        }
        var json = new GsonBuilder().disableHtmlEscaping().create().toJson(documents);
        new PrintStream(System.out, true, StandardCharsets.UTF_8).println(json);
    }

    private static Document document(SyndFeed feed) {
        return new Document(
                text(feed.getTitle()),
                links(feed.getLink(), feed.getLinks()),
                moment(feed.getPublishedDate()),
                text(feed.getLanguage()),
                feed.getEntries().stream().map(Reader::item).toList());
    }

    private static Item item(SyndEntry entry) {
        var dublinCore = (DCModule) entry.getModule(DCModule.URI);
        return new Item(
                text(entry.getUri()),
                text(entry.getTitle()),
                text(entry.getLink()),
                links(entry.getLink(), entry.getLinks()),
                moment(entry.getPublishedDate()),
                moment(updated(entry)),
                authors(entry),
                entry.getCategories().stream().map(SyndCategory::getName).toList(),
                dublinCore == null ? "" : text(dublinCore.getLanguage()),
                entry.getDescription() == null ? "" : text(entry.getDescription().getValue()),
                content(entry));
    }

    /** RSS has no date of a change. ROME drops atom:updated from an item, and leaves dcterms:modified to the program. */
    private static Date updated(SyndEntry entry) {
        if (entry.getUpdatedDate() != null) {
            return entry.getUpdatedDate();
        }
        return entry.getForeignMarkup().stream()
                .filter(element -> element.getQualifiedName().equals("dcterms:modified"))
                .map(Element::getText)
                .map(written -> DateParser.parseDate(written, Locale.US))
                .findFirst()
                .orElse(null);
    }

    private static List<String> authors(SyndEntry entry) {
        var persons = entry.getAuthors().stream().map(SyndPerson::getName).toList();
        return persons.isEmpty() && !text(entry.getAuthor()).isEmpty() ? List.of(entry.getAuthor()) : persons;
    }

    private static String content(SyndEntry entry) {
        var module = (ContentModule) entry.getModule(ContentModule.URI);
        var bodies = module == null
                ? entry.getContents().stream().map(SyndContent::getValue).toList()
                : module.getEncodeds();
        var body = bodies.isEmpty() ? "" : text(bodies.get(0));
        return body.substring(0, body.offsetByCodePoints(0, Math.min(body.codePointCount(0, body.length()), SHOWN)));
    }

    private static List<String> links(String first, List<SyndLink> links) {
        return links.isEmpty() && first != null ? List.of(first) : links.stream().map(SyndLink::getHref).toList();
    }

    private static String moment(Date of) {
        return of == null ? "" : MOMENT.format(of.toInstant());
    }

    private static String text(String of) {
        return of == null ? "" : of;
    }
}
