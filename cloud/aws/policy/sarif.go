package policy

import (
	"encoding/json"
	"net/url"
	"slices"
)

// Report is what linting one file found, for the encoders.
type Report struct {
	// URI names the file, relative to the repository where that is known; "" becomes "stdin".
	URI      string    `json:"file"`
	Findings []Finding `json:"findings"`
}

// EncodeJSON is the reports as one JSON document: a list of {file, findings}. Reports keep their order.
func EncodeJSON(reports ...Report) ([]byte, error) {
	list := slices.Concat([]Report{}, reports)
	for i := range list {
		if list[i].Findings == nil {
			list[i].Findings = []Finding{}
		}
	}
	return indented(list)
}

func indented(v any) ([]byte, error) {
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

// The parts of SARIF 2.1.0 (OASIS) that a code-scanning service reads.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string      `json:"id"`
		ShortDescription     sarifText   `json:"shortDescription"`
		Help                 *sarifText  `json:"help,omitempty"`
		DefaultConfiguration sarifConfig `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level Severity `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID     string            `json:"ruleId"`
		RuleIndex  int               `json:"ruleIndex"`
		Level      Severity          `json:"level"`
		Message    sarifText         `json:"message"`
		Locations  []sarifLocation   `json:"locations"`
		Properties map[string]string `json:"properties,omitempty"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical  `json:"physicalLocation"`
		LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
	}
)

// EncodeSARIF is the reports as one run of a SARIF 2.1.0 log, as code-scanning services take it. version is the
// program's, "" when not known. Rules are those that occur, sorted by id.
func EncodeSARIF(version string, reports ...Report) ([]byte, error) {
	index := map[Code]int{}
	var ids []Code
	for _, r := range reports {
		for _, f := range r.Findings {
			if _, ok := index[f.Code]; !ok {
				index[f.Code] = 0
				ids = append(ids, f.Code)
			}
		}
	}
	slices.Sort(ids)
	driver := sarifDriver{Name: "rolebridge policy lint", Version: version, Rules: []sarifRule{}}
	for i, id := range ids {
		index[id] = i
		r := id.rule()
		rule := sarifRule{ID: string(id), ShortDescription: sarifText{r.title}, DefaultConfiguration: sarifConfig{r.severity}}
		if r.remedy != "" {
			rule.Help = &sarifText{r.remedy}
		}
		driver.Rules = append(driver.Rules, rule)
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, r := range reports {
		for _, f := range r.Findings {
			run.Results = append(run.Results, f.sarif(r.URI, index[f.Code]))
		}
	}
	return indented(sarifLog{
		Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func (f Finding) sarif(uri string, rule int) sarifResult {
	if uri == "" {
		uri = "stdin"
	}
	// A name of a file is a path, and SARIF wants a URI reference.
	where := sarifLocation{PhysicalLocation: sarifPhysical{ArtifactLocation: sarifArtifact{(&url.URL{Path: uri}).String()}}}
	if f.Line > 0 {
		where.PhysicalLocation.Region = &sarifRegion{f.Line, f.Column}
	}
	if f.Pointer != "" {
		where.LogicalLocations = []sarifLogical{{f.Pointer}}
	}
	out := sarifResult{
		RuleID: string(f.Code), RuleIndex: rule, Level: f.Severity, Message: sarifText{f.Message}, Locations: []sarifLocation{where},
	}
	if f.Remedy != "" {
		out.Properties = map[string]string{"remedy": f.Remedy}
	}
	return out
}
