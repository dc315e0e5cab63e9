"""What people fill in."""

from django import forms

from .models import Note


class NoteForm(forms.ModelForm):
    """Write or change a note. The author is whoever is logged in, and so no field."""

    class Meta:
        model = Note
        fields = ["title", "body"]
        labels = {"body": "Text"}
        widgets = {"body": forms.Textarea(attrs={"rows": 12})}


class SearchForm(forms.Form):
    """The search box above the list; a form, so that odd input is cleaned like any other."""

    q = forms.CharField(
        label="Search the notes",
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
