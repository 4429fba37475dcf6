-- The counties a ZIP lies in. A ZIP is no place to buy a plan in; a county is.
select c.county_fips, c.county_name, c.state, c.rating_area
from zip_county z
join counties c on c.county_fips = z.county_fips
where z.zip = :zip::text
order by c.county_fips
