// Reads the feeds that its arguments name with gofeed, and prints what a program in Go finds in them.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/mmcdole/gofeed"
)

const shown = 120 // characters of a body

type document struct {
	Title    string   `json:"title"`
	Links    []string `json:"links"`
	Updated  string   `json:"updated"`
	Language string   `json:"language"`
	Items    []item   `json:"items"`
}

type item struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Link       string   `json:"link"`
	Links      []string `json:"links"`
	Published  string   `json:"published"`
	Updated    string   `json:"updated"`
	Authors    []string `json:"authors"`
	Categories []string `json:"categories"`
	Language   string   `json:"language"`
	Summary    string   `json:"summary"`
	Content    string   `json:"content"`
}

func main() {
	documents := map[string]document{}
	for _, path := range os.Args[1:] {
		feed, err := read(path)
		if err != nil {
			log.Fatalf("%s: %v", path, err)
		}
		documents[filepath.Base(path)] = documentOf(feed)
	}
	if err := json.NewEncoder(os.Stdout).Encode(documents); err != nil {
		log.Fatal(err)
	}
}

func read(path string) (*gofeed.Feed, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return gofeed.NewParser().Parse(file)
}

func documentOf(feed *gofeed.Feed) document {
	items := []item{}
	for _, each := range feed.Items {
		items = append(items, itemOf(each))
	}
	return document{feed.Title, list(feed.Links), moment(feed.UpdatedParsed), feed.Language, items}
}

func itemOf(from *gofeed.Item) item {
	authors, language := []string{}, ""
	for _, author := range from.Authors {
		authors = append(authors, author.Name)
	}
	if from.DublinCoreExt != nil && len(from.DublinCoreExt.Language) > 0 {
		language = from.DublinCoreExt.Language[0]
	}
	return item{
		ID: from.GUID, Title: from.Title, Link: from.Link, Links: list(from.Links),
		Published: moment(from.PublishedParsed), Updated: moment(from.UpdatedParsed),
		Authors: authors, Categories: list(from.Categories), Language: language,
		Summary: from.Description, Content: first(from.Content),
	}
}

func moment(of *time.Time) string {
	if of == nil {
		return ""
	}
	return of.UTC().Format("2006-01-02T15:04:05.000Z")
}

func list(of []string) []string {
	return append([]string{}, of...)
}

func first(text string) string {
	characters := []rune(text)
	return string(characters[:min(len(characters), shown)])
}
